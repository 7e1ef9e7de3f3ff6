//! What is on a disk: an immutable base image and, over it, everything the guest has written.
//!
//! The machine reads the base through [`BaseImage`] and writes nowhere: a write goes to the [`Overlay`], in chunks that
//! snapshots share, and the owner of the machine may take what has been written and save it where it likes.
//!
//! Invariants:
//! * A base gives the same bytes whenever it is asked, so base and overlay together are the contents of the disk.
//! * The overlay's hash is kept up with every write: covering it in the state hash costs nothing.
//! * What is still to be saved is no part of the state. A flush by the guest makes the machine stop, so that the owner
//!   can make everything durable before the guest goes on.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes in a sector.
pub const SECTOR: usize = 512;
/// Bytes in a chunk of an overlay.
const CHUNK: usize = 4096;

/// The contents of a disk before anything was written.
pub trait BaseImage: Send + Sync {
    /// Fill `to` with the bytes from `at` on; always the same ones for the same place.
    fn read(&self, at: u64, to: &mut [u8]);
}

/// Bytes in memory; zeros beyond their end.
impl BaseImage for Vec<u8> {
    fn read(&self, at: u64, to: &mut [u8]) {
        let from = usize::try_from(at).ok().and_then(|at| self.get(at..)).unwrap_or_default();
        let n = from.len().min(to.len());
        to[..n].copy_from_slice(&from[..n]);
        to[n..].fill(0);
    }
}

type Chunk = [u8; CHUNK];

/// Chunks that have been written. A clone shares them.
#[derive(Clone, Default)]
pub struct Overlay {
    chunks: Arc<BTreeMap<u64, Arc<Chunk>>>,
    /// Order-independent combination of the hashes of all chunks.
    hash: u64,
}

impl Overlay {
    fn chunk(&self, n: u64) -> Option<&Chunk> {
        self.chunks.get(&n).map(|chunk| &**chunk)
    }

    /// Chunk `n` to be written to at `place`; its first contents are `original`'s.
    fn update(&mut self, n: u64, original: impl FnOnce(&mut Chunk), write: impl FnOnce(&mut Chunk)) {
        let mut fresh = false;
        let chunk = Arc::make_mut(&mut self.chunks).entry(n).or_insert_with(|| {
            fresh = true;
            let mut chunk = [0; CHUNK];
            original(&mut chunk);
            Arc::new(chunk)
        });
        if !fresh {
            self.hash = self.hash.wrapping_sub(chunk_hash(n, chunk));
        }
        let chunk = Arc::make_mut(chunk);
        write(chunk);
        self.hash = self.hash.wrapping_add(chunk_hash(n, chunk));
    }

    /// Numbers of the chunks that differ from those of `other`, or may.
    fn difference(&self, other: &Overlay) -> Vec<u64> {
        let one_way = |a: &Overlay, b: &Overlay| -> Vec<u64> {
            let differs =
                |n: &u64, chunk: &Arc<Chunk>| b.chunks.get(n).is_none_or(|c| !Arc::ptr_eq(c, chunk));
            a.chunks.iter().filter(|(n, chunk)| differs(n, chunk)).map(|(n, _)| *n).collect()
        };
        if Arc::ptr_eq(&self.chunks, &other.chunks) {
            return Vec::new();
        }
        [one_way(self, other), one_way(other, self)].concat()
    }
}

fn chunk_hash(n: u64, chunk: &Chunk) -> u64 {
    xxh3_64_with_seed(chunk, n)
}

/// What the walk over the machine's state has of a medium; the chunks themselves are shared by snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    sectors: u64,
    hash: u64,
}

impl Summary {
    pub(crate) fn sectors(&self) -> u64 {
        self.sectors
    }
}

/// Bytes to be saved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Offset on the disk.
    pub at: u64,
    /// Contents from there on.
    pub bytes: Vec<u8>,
}

/// A disk's contents.
pub struct Medium {
    base: Arc<dyn BaseImage>,
    sectors: u64,
    overlay: Overlay,
    /// Chunks written since the owner last took them; `None` if it does not want them.
    unsaved: Option<BTreeSet<u64>>,
    flush: bool,
}

impl Medium {
    /// A disk of `sectors` sectors. With `saved`, the owner is going to [`Self::take_written`].
    pub fn new(base: Arc<dyn BaseImage>, sectors: u64, saved: bool) -> Medium {
        let unsaved = saved.then(BTreeSet::new);
        Medium { base, sectors, overlay: Overlay::default(), unsaved, flush: false }
    }

    /// Its size in sectors.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Whether the `count` sectors from `sector` on exist.
    pub fn contains(&self, sector: u64, count: u64) -> bool {
        sector.checked_add(count).is_some_and(|end| end <= self.sectors)
    }

    /// Read from `sector` on as much as `to` holds. The sectors exist.
    pub fn read(&self, sector: u64, to: &mut [u8]) {
        for piece in pieces(sector, to.len()) {
            let to = &mut to[piece.buffer];
            match self.overlay.chunk(piece.chunk) {
                Some(chunk) => to.copy_from_slice(&chunk[piece.within]),
                None => self.base.read(piece.chunk * CHUNK as u64 + piece.within.start as u64, to),
            }
        }
    }

    /// Write `from` at `sector`. The sectors exist.
    pub fn write(&mut self, sector: u64, from: &[u8]) {
        let Medium { base, overlay, unsaved, .. } = self;
        for piece in pieces(sector, from.len()) {
            let original = |chunk: &mut Chunk| base.read(piece.chunk * CHUNK as u64, chunk);
            overlay.update(piece.chunk, original, |chunk| {
                chunk[piece.within].copy_from_slice(&from[piece.buffer])
            });
            if let Some(unsaved) = unsaved {
                unsaved.insert(piece.chunk);
            }
        }
    }

    /// The guest wants what it has written to be safe. True if the owner has something to do for that.
    pub fn flush(&mut self) -> bool {
        if self.unsaved.is_some() {
            self.flush = true;
        }
        self.flush
    }

    /// Whether the guest has asked for a flush since the last call.
    pub fn take_flush(&mut self) -> bool {
        std::mem::take(&mut self.flush)
    }

    /// What has changed since the last call, ascending.
    pub fn take_written(&mut self) -> Vec<Written> {
        let chunks = self.unsaved.as_mut().map(std::mem::take).unwrap_or_default();
        let end = self.sectors * SECTOR as u64;
        let written = chunks.into_iter().map(|n| {
            let at = n * CHUNK as u64;
            let mut bytes = vec![0; (end - at).min(CHUNK as u64) as usize];
            self.read(at / SECTOR as u64, &mut bytes);
            Written { at, bytes }
        });
        written.collect()
    }

    /// For the state hash.
    pub(crate) fn summary(&self) -> Summary {
        Summary { sectors: self.sectors, hash: self.overlay.hash }
    }

    /// For a snapshot.
    pub(crate) fn overlay(&self) -> Overlay {
        self.overlay.clone()
    }

    /// Go back to a snapshot; what differs is to be saved again.
    pub(crate) fn restore(&mut self, overlay: &Overlay) {
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.extend(self.overlay.difference(overlay));
        }
        self.overlay = overlay.clone();
    }
}

/// The part of an access that lies in one chunk.
struct Piece {
    chunk: u64,
    within: Range<usize>,
    buffer: Range<usize>,
}

fn pieces(sector: u64, len: usize) -> impl Iterator<Item = Piece> {
    let start = sector * SECTOR as u64;
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = start + done as u64;
        let offset = (at % CHUNK as u64) as usize;
        let n = (CHUNK - offset).min(len - done);
        let buffer = done..done + n;
        done += n;
        (n > 0).then_some(Piece { chunk: at / CHUNK as u64, within: offset..offset + n, buffer })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECTORS: u64 = 21;

    fn image() -> Vec<u8> {
        (0..SECTORS as usize * SECTOR).map(|n| (n * 7 / 3) as u8).collect()
    }

    fn medium() -> Medium {
        Medium::new(Arc::new(image()), SECTORS, true)
    }

    fn all(medium: &Medium) -> Vec<u8> {
        let mut bytes = vec![0; SECTORS as usize * SECTOR];
        medium.read(0, &mut bytes);
        bytes
    }

    #[test]
    fn the_last_chunk_ends_with_the_disk() {
        let mut medium = medium();
        assert!(medium.contains(20, 1) && !medium.contains(20, 2) && !medium.contains(u64::MAX, 2));
        medium.write(20, &[1; SECTOR]);
        let written = medium.take_written();
        assert_eq!((written.len(), written[0].at, written[0].bytes.len()), (1, 8192, 5 * SECTOR));
        assert!(medium.take_written().is_empty());
    }

    #[test]
    fn going_back_is_saved_too() {
        let mut medium = medium();
        let before = medium.overlay();
        medium.write(3, &[1; SECTOR]);
        medium.take_written();
        medium.restore(&before);
        assert_eq!(medium.take_written(), [Written { at: 0, bytes: image()[..CHUNK].to_vec() }]);
    }

    #[test]
    fn a_medium_that_is_not_saved_needs_no_flush() {
        let mut medium = Medium::new(Arc::new(image()), SECTORS, false);
        medium.write(0, &[0; SECTOR]);
        assert!(!medium.flush() && !medium.take_flush());
        assert!(medium.take_written().is_empty());
    }

    proptest! {
        /// Against a plain vector; and what is saved, applied to the image, is what the guest reads.
        #[test]
        fn reads_what_was_written(
            writes in prop::collection::vec((0u64..SECTORS, 1u64..12, any::<u8>(), any::<bool>()), 0..30),
        ) {
            let (mut medium, mut model, mut file) = (medium(), image(), image());
            for (sector, count, fill, save) in writes {
                let count = count.min(SECTORS - sector) as usize;
                medium.write(sector, &vec![fill; count * SECTOR]);
                let at = sector as usize * SECTOR;
                model[at..at + count * SECTOR].fill(fill);
                if save {
                    for Written { at, bytes } in medium.take_written() {
                        file[at as usize..][..bytes.len()].copy_from_slice(&bytes);
                    }
                    prop_assert_eq!(&file, &model);
                }
                prop_assert_eq!(all(&medium), model.clone());
            }
        }

        /// The hash depends on the contents of the overlay, not on the way there.
        #[test]
        fn the_hash_forgets_the_way(fills in prop::collection::vec((0u64..SECTORS, any::<u8>()), 1..20)) {
            let (mut long, mut short) = (medium(), medium());
            let mut last = BTreeMap::new();
            for (sector, fill) in fills {
                long.write(sector, &[fill; SECTOR]);
                last.insert(sector, fill);
            }
            for (sector, fill) in last {
                short.write(sector, &[fill; SECTOR]);
            }
            prop_assert_eq!(long.summary(), short.summary());
        }
    }
}
