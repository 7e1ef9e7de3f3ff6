//! The usual distance: that from linear to host addresses which most pages of a flat view have.
//!
//! Operating systems map memory in long pieces, so one distance is right for nearly all accesses of a kernel, and of many programs.
//! Compiled code adds it without waiting for what it looks up of the page, which then only says whether that is right.

/// The distance from linear to host addresses that most pages of a view have, found by vote.
#[derive(Clone, Copy, Default)]
pub(super) struct Usual {
    pub distance: u64,
    /// One for each entry that has it, less [`PRICE`] for one that has not.
    votes: u32,
    /// Entries that had another one when no votes were left to pay for it.
    against: u32,
    /// Some entry had another one.
    differed: bool,
}

/// Votes at most.
const MOST_VOTES: u32 = 256;
/// Votes that say that most pages are alike.
const MANY_VOTES: u32 = 32;
/// Votes that an entry with another distance costs.
const PRICE: u32 = 8;

/// What an entry says of the usual distance.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Vote {
    Agrees,
    Differs,
    /// Its own is the usual one from now on.
    Wins,
}

impl Usual {
    /// An entry with `distance` is made in a view of so many pages. Another distance wins only if many entries were against the last
    /// one, for all marks have to be made anew then.
    #[inline(always)]
    pub fn vote(&mut self, distance: u64, pages: usize) -> Vote {
        if distance == self.distance {
            self.votes = (self.votes + 1).min(MOST_VOTES);
            return Vote::Agrees;
        }
        self.differed |= self.distance != 0;
        if self.votes >= PRICE {
            self.votes -= PRICE;
            return Vote::Differs;
        }
        self.against += 1;
        if (self.against as usize) < pages / 2 {
            return Vote::Differs;
        }
        (self.distance, self.votes, self.against) = (distance, 1, 0);
        Vote::Wins
    }

    /// Most pages have it, as far as anybody knows.
    pub fn is_common(&self) -> bool {
        self.votes >= MANY_VOTES || !self.differed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_is_usual_until_many_pages_are_against_it() {
        let mut usual = Usual::default();
        assert!(usual.vote(7, 1) == Vote::Wins && usual.is_common());
        assert!((0..40).all(|_| usual.vote(7, 40) == Vote::Agrees));
        // Few others are nothing to it, and none of them wins.
        assert!(usual.vote(9, 40) == Vote::Differs && usual.is_common());
        assert!((0..4).all(|_| usual.vote(9, 40) == Vote::Differs));
        assert!(!usual.is_common() && usual.distance == 7);
        // Then half as many as there are pages.
        assert_eq!((0..40).position(|_| usual.vote(9, 40) == Vote::Wins), Some(19));
        assert_eq!(usual.distance, 9);
    }
}
