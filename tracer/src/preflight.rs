//! What this host lacks: each check with what was found, why it matters and the remedy. The checks are pure;
//! `preflight::system` reads what they judge.
//!
//! Not in here: which hop is served (`plan`), what is shown of it (`export::doctor`).

mod judge;
mod system;

use anyhow::{Result, bail};
use serde::Serialize;

pub use self::{
    judge::{checks, own_hops, programs, vms},
    system::System,
};

/// One thing that recording depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// A word or two.
    pub name: String,
    /// Whether nothing can be recorded without.
    pub needed: bool,
    /// Whether it is as it should be; none where that could not be found out.
    pub ok: Option<bool>,
    /// What is there.
    pub found: String,
    /// Why it matters.
    pub why: String,
    /// What would help, where something is missing.
    pub remedy: Option<String>,
}

impl Check {
    /// Whether it stands in the way of any recording.
    pub fn prevents(&self) -> bool {
        self.needed && self.ok == Some(false)
    }
}

/// Makes sure that this host can record, as far as that is known without loading a program.
///
/// # Errors
/// The first needed check that failed, on one line.
pub fn require(has_btf_file: bool) -> Result<()> {
    match checks(&System::read(), has_btf_file).into_iter().find(Check::prevents) {
        None => Ok(()),
        Some(Check { name, found, remedy, .. }) => {
            let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
            bail!("this host cannot record: {name}: {found}{remedy}")
        }
    }
}
