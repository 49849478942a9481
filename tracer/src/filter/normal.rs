//! From an expression to a disjunction of clauses.
//!
//! Negation is pushed down to the tests (De Morgan); a conjunction of disjunctions is multiplied out. Sets of
//! ethertypes and protocols are intersected and united on the way, so that most of what people type stays one
//! or two clauses, and a clause that nothing can pass is dropped where it arises.

use tracer_common::filter::{
    AddressTest, Clause, DESTINATION, ETHERTYPE_ANY, ETHERTYPE_ARP, ETHERTYPE_IP, ETHERTYPE_IP6, MAX_CLAUSES,
    MAX_TESTS, PortTest, SOURCE,
};

use super::{Problem, parser::Expr};

/// Clauses that may arise on the way: what is in excess of [`MAX_CLAUSES`] may still be absorbed.
const MAX_INTERMEDIATE: usize = 128;

/// The clauses that pass a frame exactly if the expression does.
pub(super) fn clauses(expr: &Expr) -> Result<Vec<Clause>, Problem> {
    let terms = terms(expr, false)?;
    if terms.is_empty() {
        return Err(Problem::MatchesNothing);
    }
    // The tests are looked at first: the message about one clause is the more useful one.
    let clauses = terms.iter().map(Term::clause).collect::<Result<Vec<_>, _>>()?;
    if clauses.len() > MAX_CLAUSES {
        return Err(Problem::TooManyClauses);
    }
    Ok(clauses)
}

/// A conjunction, with as many tests as were typed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    ethertypes: u32,
    without_ip: bool,
    protocols: [u32; 8],
    addresses: Vec<AddressTest>,
    ports: Vec<PortTest>,
}

const PASS: Term = Term {
    ethertypes: ETHERTYPE_ANY,
    without_ip: true,
    protocols: [u32::MAX; 8],
    addresses: Vec::new(),
    ports: Vec::new(),
};

/// The terms of an expression, or of its negation.
fn terms(expr: &Expr, negate: bool) -> Result<Vec<Term>, Problem> {
    Ok(match expr {
        Expr::Not(inner) => terms(inner, !negate)?,
        Expr::And(parts) if !negate => product(parts, negate)?,
        Expr::Or(parts) if negate => product(parts, negate)?,
        Expr::And(parts) | Expr::Or(parts) => sum(parts, negate)?,
        Expr::Ethertype(set) => {
            vec![Term { ethertypes: if negate { ETHERTYPE_ANY & !set } else { *set }, ..PASS }]
        }
        Expr::Protocol(protocol) => {
            let mut protocols = [0; 8];
            protocols[usize::from(protocol >> 5)] = 1 << (protocol & 31);
            let protocols = if negate { protocols.map(|word: u32| !word) } else { protocols };
            vec![Term { without_ip: negate, protocols, ..PASS }]
        }
        Expr::Address(test) => {
            vec![Term { addresses: vec![AddressTest { negate: negate.into(), ..*test }], ..PASS }]
        }
        Expr::Port(test) => vec![Term { ports: vec![PortTest { negate: negate.into(), ..*test }], ..PASS }],
    })
}

fn sum(parts: &[Expr], negate: bool) -> Result<Vec<Term>, Problem> {
    let mut all = Vec::new();
    for part in parts {
        all.extend(terms(part, negate)?);
        all = simplified(all)?;
    }
    Ok(all)
}

fn product(parts: &[Expr], negate: bool) -> Result<Vec<Term>, Problem> {
    let mut all = vec![PASS];
    for part in parts {
        let factors = terms(part, negate)?;
        let pairs = all.iter().flat_map(|term| factors.iter().map(move |factor| term.and(factor)));
        // Even most of the pairs may be contradictions: so these go before anything is counted.
        all = simplified(pairs.flatten().collect())?;
    }
    Ok(all)
}

/// Without terms that others cover, with terms united that differ in one set only.
fn simplified(terms: Vec<Term>) -> Result<Vec<Term>, Problem> {
    let mut kept: Vec<Term> = Vec::new();
    for mut term in terms {
        // A union can be united with a further one; each turn takes a term away.
        while let Some(at) = kept.iter().position(|other| other.united(&term).is_some()) {
            let other = kept.remove(at);
            term = other.united(&term).unwrap_or(other);
        }
        kept.push(term);
        if kept.len() > MAX_INTERMEDIATE {
            return Err(Problem::TooManyClauses);
        }
    }
    Ok(kept)
}

impl Term {
    /// Both at once; `None` where no frame passes both.
    fn and(&self, other: &Term) -> Option<Term> {
        let mut both = self.clone();
        both.ethertypes &= other.ethertypes;
        both.without_ip &= other.without_ip;
        for (word, mask) in both.protocols.iter_mut().zip(other.protocols) {
            *word &= mask;
        }
        both.addresses.extend(other.addresses.iter().filter(|test| !self.addresses.contains(test)));
        both.ports.extend(other.ports.iter().filter(|test| !self.ports.contains(test)));
        both.tighten();
        both.possible().then_some(both)
    }

    /// Draws from one test what it says about another, so that contradictions come to light.
    fn tighten(&mut self) {
        for test in self.addresses.iter().filter(|test| test.negate == 0) {
            self.ethertypes &= if test.version == 4 { ETHERTYPE_IP | ETHERTYPE_ARP } else { ETHERTYPE_IP6 };
        }
        if self.ports.iter().any(|test| test.negate == 0) {
            // Only TCP and UDP have ports, and both are in the first word.
            self.without_ip = false;
            self.protocols = [self.protocols[0] & (1 << 6 | 1 << 17), 0, 0, 0, 0, 0, 0, 0];
        }
        if !self.without_ip {
            self.ethertypes &= ETHERTYPE_IP | ETHERTYPE_IP6;
        }
    }

    fn possible(&self) -> bool {
        let protocol = self.without_ip || self.protocols != [0; 8];
        let opposed = |one: &AddressTest, two: &AddressTest| {
            one.negate != two.negate && AddressTest { negate: two.negate, ..*one } == *two
        };
        let opposed_ports = |one: &PortTest, two: &PortTest| {
            one.negate != two.negate && PortTest { negate: two.negate, ..*one } == *two
        };
        protocol
            && self.ethertypes != 0
            && !pairs(&self.addresses).any(|(one, two)| opposed(one, two) || other_address(one, two))
            && !pairs(&self.ports).any(|(one, two)| opposed_ports(one, two) || other_port(one, two))
    }

    /// One term for both, if one covers the other or they differ in one set only.
    fn united(&self, other: &Term) -> Option<Term> {
        if self.covers(other) {
            return Some(self.clone());
        }
        if other.covers(self) {
            return Some(other.clone());
        }
        let same_tests = covers(&self.addresses, &other.addresses)
            && covers(&other.addresses, &self.addresses)
            && covers(&self.ports, &other.ports)
            && covers(&other.ports, &self.ports);
        let same_ethertypes = self.ethertypes == other.ethertypes;
        let same_protocols = self.without_ip == other.without_ip && self.protocols == other.protocols;
        if !same_tests || !(same_ethertypes || same_protocols) {
            return None;
        }
        let mut union = self.clone();
        union.ethertypes |= other.ethertypes;
        union.without_ip |= other.without_ip;
        for (word, more) in union.protocols.iter_mut().zip(other.protocols) {
            *word |= more;
        }
        Some(union)
    }

    /// Whether every frame that passes `other` passes this one.
    fn covers(&self, other: &Term) -> bool {
        let protocols = other.protocols.iter().zip(self.protocols).all(|(word, mask)| word & !mask == 0);
        other.ethertypes & !self.ethertypes == 0
            && (self.without_ip || !other.without_ip)
            && protocols
            && covers(&self.addresses, &other.addresses)
            && covers(&self.ports, &other.ports)
    }

    fn clause(&self) -> Result<Clause, Problem> {
        let mut clause = Clause {
            ethertypes: self.ethertypes,
            without_ip: self.without_ip.into(),
            protocols: self.protocols,
            ..Clause::PASS
        };
        for (what, count) in [("addresses", self.addresses.len()), ("ports", self.ports.len())] {
            if count > MAX_TESTS {
                return Err(Problem::TooManyTests { what, count });
            }
        }
        clause.addresses.iter_mut().zip(&self.addresses).for_each(|(slot, test)| *slot = *test);
        clause.ports.iter_mut().zip(&self.ports).for_each(|(slot, test)| *slot = *test);
        Ok(clause)
    }
}

/// Whether what passes all of `more` passes all of `fewer`.
fn covers<T: PartialEq>(fewer: &[T], more: &[T]) -> bool {
    fewer.iter().all(|test| more.contains(test))
}

fn pairs<T>(tests: &[T]) -> impl Iterator<Item = (&T, &T)> {
    tests.iter().enumerate().flat_map(|(at, one)| tests[at + 1..].iter().map(move |two| (one, two)))
}

/// Whether two tests want the same single end to be two things.
fn other_address(one: &AddressTest, two: &AddressTest) -> bool {
    let differs = one
        .address
        .iter()
        .zip(two.address)
        .zip(one.mask.iter().zip(two.mask))
        .any(|((one, two), (mask, other_mask))| (one ^ two) & mask & other_mask != 0);
    one.negate == 0 && two.negate == 0 && same_single(one.ends, two.ends) && differs
}

fn other_port(one: &PortTest, two: &PortTest) -> bool {
    one.negate == 0 && two.negate == 0 && same_single(one.ends, two.ends) && one.port != two.port
}

fn same_single(one: u32, two: u32) -> bool {
    one == two && (one == SOURCE || one == DESTINATION)
}
