//! A browser without a screen, to see pages as people do.
#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// What the browser is called on various systems.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// A browser.
pub struct Browser {
    program: PathBuf,
    /// Its profile, and pages made to look at others.
    dir: TempDir,
}

/// What it made of a page.
pub struct Seen {
    /// The page's elements as it understood them, as text.
    pub dom: String,
    /// What it complained of on its console.
    pub console: Vec<String>,
}

impl Browser {
    /// The browser of this machine; none where there is none.
    pub fn find() -> Option<Browser> {
        let path = env::var_os("PATH").unwrap_or_default();
        let places: Vec<PathBuf> = env::split_paths(&path).collect();
        let named = |name: &&str| places.iter().map(|place| place.join(name)).find(|file| file.is_file());
        let program = NAMES.iter().find_map(named)?;
        Some(Browser { program, dir: tempfile::tempdir().unwrap() })
    }

    fn run(&self, page: &Path, width: u32, dark: bool, more: &str) -> Seen {
        let profile = self.dir.path().join("profile");
        let mut command = Command::new(&self.program);
        command.args([
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--no-first-run",
        ]);
        command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        // No name leads anywhere: a page that asks for something from elsewhere complains.
        command.args(["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--v=0"]);
        command.arg("--virtual-time-budget=3000").arg(format!("--user-data-dir={}", profile.display()));
        command.arg(format!("--window-size={width},900"));
        if dark {
            command.arg("--blink-settings=preferredColorScheme=0");
        }
        let output = command.arg(more).arg(format!("file://{}", page.display())).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {said}", self.program.display());
        let console = said.lines().filter(|line| line.contains("CONSOLE")).map(str::to_owned).collect();
        Seen { dom: String::from_utf8(output.stdout).unwrap(), console }
    }

    /// Opens a page.
    pub fn open(&self, page: &Path) -> Seen {
        self.run(page, 1280, false, "--dump-dom")
    }

    /// How wide a page is in a window of this width, px: more where it has to be scrolled sideways.
    pub fn width_of(&self, page: &Path, width: u32) -> u32 {
        // A window has a least width, a frame has none. The page itself allows no script; the copy does.
        let html = fs::read_to_string(page).unwrap();
        let html = html.replace("http-equiv=\"Content-Security-Policy\"", "name=\"policy\"");
        let script = "<script>parent.postMessage(document.documentElement.scrollWidth, '*')</script></body>";
        let copy = self.dir.path().join("copy.html");
        fs::write(&copy, html.replace("</body>", script)).unwrap();
        let script = "onmessage = message => document.title = 'wide ' + message.data + '!'";
        let frame = self.framed(&copy, width, 900, script);
        let seen = self.run(&frame, 1280.max(width), false, "--dump-dom");
        let told = seen.dom.split("<title>wide ").nth(1).and_then(|rest| rest.split('!').next());
        told.unwrap_or_else(|| panic!("the page told no width: {}", seen.dom)).parse().unwrap()
    }

    /// A picture of a page's first `height` px in a window of this width.
    pub fn picture(&self, page: &Path, (width, height): (u32, u32), dark: bool, to: &Path) {
        let frame = self.framed(page, width, height, "");
        self.run(&frame, width.max(500), dark, &format!("--screenshot={}", to.display()));
    }

    /// A page that shows another one in a frame.
    fn framed(&self, page: &Path, width: u32, height: u32, script: &str) -> PathBuf {
        let frame = self.dir.path().join("frame.html");
        let html = format!(
            "<!doctype html><title></title><meta name=color-scheme content='light dark'><script>{script}</script>\
             <body style='margin:0'><iframe src='file://{}' style='border:0;width:{width}px;height:{height}px'></iframe>",
            page.display()
        );
        fs::write(&frame, html).unwrap();
        frame
    }
}
