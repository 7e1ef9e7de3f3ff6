//! The runner on a hand-made file, whole and damaged.

use super::format::File;
use super::{load, run_one, sample};
use crate::options::later::Engine;

fn differences(bytes: &[u8]) -> Result<Vec<Vec<String>>, &'static str> {
    let file = File::parse(bytes)?;
    let mut rig = load::Rig::new(&file.env, Engine::Interp).map_err(|_| "no engine")?;
    Ok(file.vectors().map(|vector| run_one(&mut rig, &file, &vector)).collect())
}

#[test]
fn passes_and_failures() {
    assert_eq!(differences(&sample::file(42)), Ok(vec![vec![], vec![]]));
    let failed = differences(&sample::file(43)).unwrap();
    assert!(failed[0][0].starts_with("eax: expected 0000002b, got 0000002a"), "{failed:?}");
    assert!(failed[1].is_empty(), "{failed:?}");
}

/// Files are not trusted: whatever is in them is refused or run, without a panic.
#[test]
fn damaged_files_do_no_harm() {
    let whole = sample::file(42);
    for len in 0..whole.len() - 1 {
        assert!(File::parse(&whole[..len]).is_err(), "{len} bytes");
    }
    let tables = 8 + 12 + 32 + 4 * 64;
    let vectors = whole.len() - 200;
    let mut random = 0x2545_F491u32;
    for round in 0..3000 {
        let mut damaged = whole.clone();
        for _ in 0..4 {
            random ^= random << 13;
            random ^= random >> 17;
            random ^= random << 5;
            // The state and the vectors, where damage matters most; the rest is RAM.
            let places = if round % 2 == 0 { 8..tables } else { vectors..whole.len() };
            let at = places.start + (random >> 8) as usize % places.len();
            damaged[at] = random as u8;
        }
        let _ = differences(&damaged);
    }
}
