//! The workspace's integration tests as programs: where cargo has put them.

use std::path::PathBuf;

use anyhow::{Context as _, bail};

use crate::shell::{command, workspace};

/// Builds the integration tests; gives each file's name and its program.
pub(super) fn built() -> anyhow::Result<Vec<(String, PathBuf)>> {
    let words = ["cargo", "test", "--package", "tests", "--no-run", "--message-format", "json"];
    let output = command(&words).current_dir(workspace()).output().context("failed to run cargo")?;
    if !output.status.success() {
        bail!("the integration tests do not build: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8_lossy(&output.stdout).lines().filter_map(program).collect())
}

/// A test's program, of cargo's message that it was built.
fn program(message: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(message).ok()?;
    let name = message["target"]["name"].as_str()?.to_owned();
    let is_test = message["target"]["kind"].as_array()?.iter().any(|kind| kind == "test");
    let path = message["executable"].as_str().filter(|_| is_test)?;
    Some((name, PathBuf::from(path)))
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn only_tests_have_a_program() {
        let test = r#"{"target":{"kind":["test"],"name":"kvm"},"executable":"/t/kvm-1"}"#;
        assert_eq!(program(test), Some(("kvm".to_owned(), PathBuf::from("/t/kvm-1"))));
        for other in [r#"{"target":{"kind":["lib"],"name":"x"},"executable":"/t/x"}"#, "{}", "no JSON"] {
            assert_eq!(program(other), None);
        }
    }
}
