//! What can be measured: the kernels and operations of the images, in groups.

use crate::error::Error;

/// Cases that are summed up together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Integer kernels.
    Integer,
    /// x87 and SSE2 kernels.
    Float,
    /// Bulk and far-apart memory accesses.
    Memory,
    /// Operations of the system: gates, page tables, tasks, ports.
    System,
    /// Operations of a Guest under the lguest Host.
    Lguest,
    /// Code that no compiler likes.
    Hostile,
}

impl Group {
    /// Every group.
    pub const ALL: [Group; 6] =
        [Group::Integer, Group::Float, Group::Memory, Group::System, Group::Lguest, Group::Hostile];

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Group::Integer => "integer",
            Group::Float => "float",
            Group::Memory => "memory",
            Group::System => "system",
            Group::Lguest => "lguest",
            Group::Hostile => "hostile",
        }
    }

    /// Whether a program without privileges can do it.
    pub fn is_native(self) -> bool {
        matches!(self, Group::Integer | Group::Float | Group::Memory)
    }

    /// Whether the time of one round says more than the whole.
    pub fn counts_rounds(self) -> bool {
        matches!(self, Group::System | Group::Lguest | Group::Hostile)
    }

    /// In the order of the images' tables (roms/bench/README.md).
    fn cases(self) -> &'static [&'static str] {
        match self {
            Group::Integer => &[
                "sieve",
                "crc32",
                "sha256",
                "quicksort",
                "matmul",
                "strings",
                "calls",
                "lists",
                "hash",
                "lz",
                "records",
                "bits",
                "bytecode",
                "queens",
                "bignum",
                "gcd",
            ],
            Group::Float => &["x87", "sse2"],
            Group::Memory => &["rep-movs", "rep-stos", "stride", "two-buffers"],
            Group::System => &[
                "int80",
                "call-gate",
                "page-fault",
                "segment-load",
                "segment-access",
                "self-modify",
                "patch-text",
                "code-and-data",
                "popf",
                "sti-cli",
                "cr3",
                "invlpg",
                "task-switch",
                "port",
                "cpuid",
            ],
            Group::Hostile => &[
                "straight-line",
                "rewrite-all",
                "many-blocks",
                "write-next",
                "into-middle",
                "limit-churn",
                "paging-churn",
            ],
            Group::Lguest => &["hypercall", "guest-trap", "guest-pte", "guest-cr3", "guest-work"],
        }
    }
}

/// Name of the group of integer kernels behind limited segments.
const LIMITED: &str = "limited";
/// Segments other than flat ones that the image knows.
const SEGMENTS: [&str; 2] = [LIMITED, "based"];

/// One thing to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// As the image's command line wants it.
    pub name: String,
    /// Where it belongs.
    pub group: Group,
}

impl Case {
    /// The kernel without its segments.
    pub fn base_name(&self) -> &str {
        self.name.split_once('@').map_or(&self.name, |(name, _)| name)
    }

    /// Whether it runs behind segments other than flat ones.
    pub fn is_segmented(&self) -> bool {
        self.name.contains('@')
    }
}

fn group(group: Group) -> impl Iterator<Item = Case> {
    group.cases().iter().map(move |name| Case { name: (*name).into(), group })
}

fn limited() -> impl Iterator<Item = Case> {
    group(Group::Integer).map(|case| Case { name: format!("{}@{LIMITED}", case.name), ..case })
}

/// The cases that `only` names; all if it names none.
pub fn select(only: &[String]) -> Result<Vec<Case>, Error> {
    if only.is_empty() {
        return Ok(Group::ALL.into_iter().flat_map(group).chain(limited()).collect());
    }
    let mut cases = Vec::new();
    for word in only {
        let before = cases.len();
        if word == LIMITED {
            cases.extend(limited());
        }
        for g in Group::ALL {
            cases.extend(
                group(g)
                    .filter(|case| word == g.name() || matches(word, case))
                    .map(|case| if word == g.name() { case } else { Case { name: word.clone(), ..case } }),
            );
        }
        if cases.len() == before {
            return Err(Error::Usage(format!(
                "--only {word}: no such case or group; see `ringside help bench` and roms/bench/README.md"
            )));
        }
    }
    Ok(cases)
}

/// `NAME` or `NAME@SEGMENTS`, the latter for kernels.
fn matches(word: &str, case: &Case) -> bool {
    match word.split_once('@') {
        None => word == case.name,
        Some((name, segments)) => name == case.name && case.group.is_native() && SEGMENTS.contains(&segments),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(only: &[&str]) -> Vec<String> {
        let only: Vec<String> = only.iter().map(|s| (*s).to_owned()).collect();
        select(&only).unwrap().into_iter().map(|case| case.name).collect()
    }

    #[test]
    fn names_groups_and_segments_select() {
        assert_eq!(names(&["crc32", "x87@based", "int80"]), ["crc32", "x87@based", "int80"]);
        assert_eq!(names(&["float"]), ["x87", "sse2"]);
        assert_eq!(names(&["limited"]).len(), names(&["integer"]).len());
        assert!(names(&[]).len() > names(&["integer"]).len());
        for bad in ["", "no-such", "int80@limited", "crc32@wide", "crc32@"] {
            assert!(select(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_catalogue_is_that_of_the_images() {
        let images = [super::super::images::IMAGE, super::super::images::GUEST];
        for case in Group::ALL.into_iter().flat_map(group) {
            let name = case.name.as_bytes();
            assert!(images.iter().any(|i| i.windows(name.len()).any(|w| w == name)), "{}", case.name);
        }
    }
}
