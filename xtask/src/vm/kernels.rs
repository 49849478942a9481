//! The kernels that a VM can boot, and where Debian keeps them.

use anyhow::Context as _;

use super::apt::{Archive, Suite};

/// A kernel series and the suite whose newest package of it is taken.
#[derive(Debug, PartialEq, Eq)]
pub struct Kernel {
    /// The series, which is also what a user types.
    pub name: &'static str,
    /// The suite.
    pub suite: Suite,
}

/// From the oldest to the newest.
pub static KERNELS: [Kernel; 5] = [
    Kernel { name: "5.10", suite: Suite { archive: Archive::Security, name: "bullseye-security" } },
    Kernel { name: "6.1", suite: Suite { archive: Archive::Security, name: "bookworm-security" } },
    Kernel { name: "6.12", suite: Suite { archive: Archive::Security, name: "trixie-security" } },
    Kernel { name: "6.18", suite: Suite { archive: Archive::Main, name: "trixie-backports" } },
    Kernel { name: "7.3", suite: Suite { archive: Archive::Main, name: "trixie-backports" } },
];

impl Kernel {
    /// The kernel of this name.
    pub fn named(name: &str) -> anyhow::Result<&'static Self> {
        let names = || KERNELS.iter().map(|kernel| kernel.name).collect::<Vec<_>>().join(", ");
        let found = KERNELS.iter().find(|kernel| kernel.name == name);
        found.with_context(|| format!("there is no kernel {name}: take one of {}", names()))
    }

    /// The newest image package of the series among these names; not one of another flavour than amd64.
    pub fn newest_image<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
        let images = names.filter_map(|name| Some((numbers(self.version(name)?), name)));
        images.max().map(|(_, name)| name)
    }

    /// The version in the name of an image package of the series, the way packages beside it are named.
    fn version<'a>(&self, package: &'a str) -> Option<&'a str> {
        let version = package.strip_prefix("linux-image-")?.strip_suffix("-amd64")?;
        let patch = version.strip_prefix(self.name)?.strip_prefix('.')?;
        // A flavour (cloud, rt) is a part that is no number.
        let numeric = patch.split('-').all(|part| part.starts_with(|first: char| first.is_ascii_digit()));
        numeric.then_some(version)
    }

    /// The image package with those of its dependencies that are parts of this kernel: since 6.19 the image
    /// itself, the modules and the rest are packages of their own.
    pub fn packages<'a>(&self, image: &'a str, depends: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
        let end = self.version(image).map(|version| format!("-{version}-amd64"));
        let parts = depends.filter(|name| end.as_ref().is_some_and(|end| name.ends_with(end)));
        std::iter::once(image).chain(parts).collect()
    }
}

/// The numbers in a version, by which versions of one scheme are ordered.
fn numbers(version: &str) -> Vec<u32> {
    version.split(|symbol: char| !symbol.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_image_is_that_of_the_largest_number() {
        for (kernel, names, expected) in [
            ("6.1", "linux-image-6.1.0-9-amd64 linux-image-6.1.0-56-amd64", "linux-image-6.1.0-56-amd64"),
            (
                "6.12",
                "linux-image-6.12.115+deb13.1-amd64 linux-image-6.12.94+deb13-amd64 \
                 linux-image-6.12.115+deb13-amd64",
                "linux-image-6.12.115+deb13.1-amd64",
            ),
        ] {
            let kernel = Kernel::named(kernel).unwrap();
            assert_eq!(kernel.newest_image(names.split(' ')), Some(expected));
        }
    }

    #[test]
    fn other_flavours_and_series_are_left_out() {
        let kernel = Kernel::named("6.1").unwrap();
        for name in [
            "linux-image-6.1-amd64",
            "linux-image-6.12.9+deb13-amd64",
            "linux-image-6.1.0-56-cloud-amd64",
            "linux-image-6.1.0-56-rt-amd64",
            "linux-image-6.1.0-56-amd64-dbg",
            "linux-headers-6.1.0-56-amd64",
        ] {
            assert_eq!(kernel.newest_image(std::iter::once(name)), None, "{name}");
        }
    }

    #[test]
    fn a_split_kernel_comes_with_its_parts_and_nothing_else() {
        let kernel = Kernel::named("7.3").unwrap();
        let depends = "dracut linux-base-7.3.4+deb13-amd64 linux-modules-7.3.4+deb13-amd64 linux-base kmod";
        let packages = kernel.packages("linux-image-7.3.4+deb13-amd64", depends.split(' '));
        assert_eq!(
            packages,
            [
                "linux-image-7.3.4+deb13-amd64",
                "linux-base-7.3.4+deb13-amd64",
                "linux-modules-7.3.4+deb13-amd64"
            ]
        );
    }
}
