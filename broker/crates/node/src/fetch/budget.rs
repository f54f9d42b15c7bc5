//! How the bytes of one answer are shared between the partitions that a follower holds in sync and those it catches up
//! with. No I/O.
//!
//! Invariant: the bytes granted are at most the answer's, but for the first batch of each standing, which is granted
//! whole, so that neither starves behind a batch that is larger than its share (KIP-74).

use super::target::Standing;

/// The part of an answer that partitions catching up may fill while others are in sync: a quarter. It bounds how long
/// producers wait behind what a moving replica copies, and leaves a move most of the disk's and the network's speed, as
/// an answer of the usual 10 MiB still carries 2.5 MiB of it.
const CATCH_UP_DIVISOR: usize = 4;

/// What one partition may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Bytes of records.
    pub bytes_max: usize,
    /// Whether the first batch is granted even if it is larger.
    pub at_least_one: bool,
}

/// The bytes of one answer.
#[derive(Clone, Debug)]
pub struct FetchBudget {
    room: [usize; 2],
    taken: [usize; 2],
}

impl FetchBudget {
    /// An answer of at most `bytes_max`; `in_sync` and `catching_up` say whether there are partitions of either standing
    /// that may take of it.
    pub fn new(bytes_max: usize, in_sync: bool, catching_up: bool) -> FetchBudget {
        let reserved = match (in_sync, catching_up) {
            (_, false) => 0,
            (false, true) => bytes_max,
            (true, true) => bytes_max / CATCH_UP_DIVISOR,
        };
        FetchBudget { room: [bytes_max - reserved, reserved], taken: [0, 0] }
    }

    /// What the next partition of `standing` may take, of which it wants `bytes_max`.
    pub fn share(&self, standing: Standing, bytes_max: usize) -> Share {
        let of = standing as usize;
        Share { bytes_max: bytes_max.min(self.room[of]), at_least_one: self.taken[of] == 0 }
    }

    /// A partition of `standing` took `bytes`.
    pub fn take(&mut self, standing: Standing, bytes: usize) {
        let of = standing as usize;
        self.room[of] = self.room[of].saturating_sub(bytes);
        self.taken[of] += bytes;
    }

    /// Whether partitions of `standing` get nothing any more.
    pub fn is_spent(&self, standing: Standing) -> bool {
        let of = standing as usize;
        self.room[of] == 0 && self.taken[of] > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moving_partitions_leave_room_for_those_in_sync_and_keep_a_share() {
        let mut budget = FetchBudget::new(100, true, true);
        assert_eq!(budget.share(Standing::InSync, 80).bytes_max, 75);
        budget.take(Standing::InSync, 75);
        assert!(budget.is_spent(Standing::InSync) && !budget.is_spent(Standing::CatchingUp));
        assert_eq!(budget.share(Standing::CatchingUp, 80), Share { bytes_max: 25, at_least_one: true });
    }

    #[test]
    fn without_the_others_either_standing_gets_all() {
        assert_eq!(FetchBudget::new(100, true, false).share(Standing::InSync, 200).bytes_max, 100);
        assert_eq!(FetchBudget::new(100, false, true).share(Standing::CatchingUp, 200).bytes_max, 100);
    }

    #[test]
    fn a_batch_larger_than_its_share_is_granted_once_for_each_standing() {
        let mut budget = FetchBudget::new(100, true, true);
        budget.take(Standing::InSync, 500);
        assert!(!budget.share(Standing::InSync, 80).at_least_one);
        assert!(budget.share(Standing::CatchingUp, 80).at_least_one);
        budget.take(Standing::CatchingUp, 500);
        assert!(!budget.share(Standing::CatchingUp, 80).at_least_one);
    }

    #[test]
    fn an_answer_without_room_still_carries_one_batch() {
        let mut budget = FetchBudget::new(0, true, false);
        assert_eq!(budget.share(Standing::InSync, 80), Share { bytes_max: 0, at_least_one: true });
        assert!(!budget.is_spent(Standing::InSync));
        budget.take(Standing::InSync, 9);
        assert!(budget.is_spent(Standing::InSync));
    }
}
