//! Cutting the log's end, as a follower does.

use ottla_broker_types::LeaderEpoch;

use super::rig::{Rig, at, fill, lead, now, produced, read_all, records, replicated, spans};
use crate::AppendError;

#[test]
fn every_cut_leaves_the_prefix_and_the_log_goes_on() {
    for cut in 0..=24 {
        let rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, 12);
        let before = read_all(&log, at(0));
        let kept = cut / 2 * 2;
        let end = log.truncate_to(at(cut), now(2)).unwrap();
        assert_eq!((end, log.log_end()), (at(kept), at(kept)), "cut at {cut}");
        let size = before.len() / 12;
        assert_eq!(read_all(&log, at(0)), before[..size * kept as usize / 2], "cut at {cut}");
        lead(&mut log, records(1, 300, 1)).unwrap();
        fill(&mut log, 8);
        let after = read_all(&log, at(0));
        assert_eq!(read_all(&rig.kill_and_open(), at(0)), after, "cut at {cut}");
    }
}

#[test]
fn a_cut_forgets_later_epochs() {
    let mut log = Rig::new().open();
    let fetched = [replicated(0, 1, 2), replicated(2, 3, 2), replicated(4, 5, 2)].concat();
    log.append_as_follower(&fetched, now(1)).unwrap();
    log.truncate_to(at(4), now(1)).unwrap();
    assert_eq!(log.epochs().entries(), [(LeaderEpoch(1), at(0)), (LeaderEpoch(3), at(2))]);
    log.append_as_follower(&replicated(4, 4, 1), now(1)).unwrap();
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(4)));
}

#[test]
fn a_cut_forgets_what_producers_appended_after_it() {
    let mut rig = Rig::tiny();
    rig.config.segment_bytes_max = 250;
    let mut log = rig.open();
    for n in 0..10 {
        lead(&mut log, produced(4, 0, n, 1)).unwrap();
    }
    assert!(log.segment_count() > 2);
    log.truncate_to(at(6), now(1)).unwrap();
    assert!(lead(&mut log, produced(4, 0, 5, 1)).unwrap().duplicate);
    assert!(matches!(lead(&mut log, produced(4, 0, 9, 1)), Err(AppendError::OutOfOrderSequence { .. })));
    assert_eq!(lead(&mut log, produced(4, 0, 6, 1)).unwrap().base_offset, at(6));
}

#[test]
fn a_reset_log_starts_anew_where_it_was_told() {
    for start in [0, 3, 1_000] {
        let rig = Rig::tiny();
        let mut log = rig.open();
        fill(&mut log, 12);
        lead(&mut log, produced(4, 0, 0, 1)).unwrap();
        log.reset_to(at(start), now(1)).unwrap();
        assert_eq!((log.log_start(), log.log_end(), log.size_bytes()), (at(start), at(start), 0));
        assert_eq!((log.epochs().entries().len(), log.producer_count()), (0, 0));
        log.append_as_follower(&replicated(start, 7, 3), now(1)).unwrap();
        let mut again = rig.kill_and_open();
        assert_eq!((again.log_start(), again.log_end()), (at(start), at(start + 3)));
        assert_eq!(spans(&read_all(&again, at(start))), [(start, start + 2)]);
        again.append_as_leader(&mut records(1, 1, 1), LeaderEpoch(8), now(1)).unwrap();
    }
}

#[test]
fn a_flush_that_began_before_a_cut_does_not_vouch_for_what_came_after() {
    let rig = Rig::new();
    let mut log = rig.open();
    fill(&mut log, 4);
    let plan = log.begin_flush().unwrap();
    log.truncate_to(at(2), now(1)).unwrap();
    fill(&mut log, 3);
    let synced = plan.sync(&rig.disk);
    assert_eq!(log.finish_flush(plan, synced).unwrap(), at(0));
    assert_eq!(log.flush().unwrap(), at(8));
}
