//! Cuts a filter's text into words, parentheses and operators. Knows no word's meaning but the operators'.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// `(`
    Open,
    /// `)`
    Close,
    /// `not`, `!`
    Not,
    /// `and`, `&&`
    And,
    /// `or`, `||`
    Or,
    /// Anything else.
    Word(&'a str),
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// What it is.
    pub(super) kind: Kind<'a>,
    /// As typed.
    pub(super) text: &'a str,
    /// Where it starts, in bytes.
    pub(super) start: usize,
}

/// All tokens of a text.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let start = text.len() - rest.len();
        let length = operator(rest).unwrap_or_else(|| word(rest));
        let (token, behind) = rest.split_at(length);
        found.push(Token { kind: kind(token), text: token, start });
        rest = behind.trim_start();
    }
    found
}

/// Length of the operator at the front, if one is there.
fn operator(rest: &str) -> Option<usize> {
    ["&&", "||", "(", ")", "!"].iter().find(|sign| rest.starts_with(**sign)).map(|sign| sign.len())
}

/// Length of the word at the front: up to white space or the next operator.
fn word(rest: &str) -> usize {
    rest.char_indices()
        .find(|&(at, character)| character.is_whitespace() || operator(&rest[at..]).is_some())
        .map_or(rest.len(), |(at, _)| at)
}

fn kind(token: &str) -> Kind<'_> {
    match token {
        "(" => Kind::Open,
        ")" => Kind::Close,
        "not" | "!" => Kind::Not,
        "and" | "&&" => Kind::And,
        "or" | "||" => Kind::Or,
        word => Kind::Word(word),
    }
}
