//! The experiments that vmhop brings. The files are the definition; they can be shown, copied and changed.

/// An experiment that vmhop brings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Builtin {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// All of them.
pub(super) const ALL: [Builtin; 2] = [
    Builtin { name: "hosted-vm", text: include_str!("../../experiments/hosted-vm.toml") },
    Builtin { name: "smoke", text: include_str!("../../experiments/smoke.toml") },
];

/// The experiment of this name.
pub(super) fn find(name: &str) -> Option<Builtin> {
    ALL.into_iter().find(|builtin| builtin.name == name)
}

#[cfg(test)]
mod tests {
    use super::{super::spec::Spec, *};

    #[test]
    fn each_is_sound_and_called_as_its_file_says() {
        for Builtin { name, text } in ALL {
            assert_eq!(Spec::parse(text, name).unwrap().name, name);
        }
    }
}
