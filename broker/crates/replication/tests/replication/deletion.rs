//! Deletion is the leader's decision; followers carry it out when they hear of it.

use crate::harness::{Model, N1, N2, N3, NODES};

#[test]
fn followers_delete_what_their_leader_has_deleted() {
    let mut model = Model::new();
    for value in 0..60 {
        model.write(N1, &[value]);
    }
    model.settle();
    let now = model.now;
    for node in [N2, N3] {
        let (deleted, _) = model.replica(node).apply_retention(now).unwrap();
        assert_eq!(deleted.segment_count, 0, "followers decide nothing");
    }
    model.delete_before(N1, 40);
    model.settle();
    let sizes = NODES.map(|node| {
        let before = model.replica(node).log().size_bytes();
        let (deleted, _) = model.replica(node).apply_retention(now).unwrap();
        let log = model.replica(node).log();
        assert_eq!((log.log_start().get(), log.size_bytes()), (40, before - deleted.bytes));
        log.size_bytes()
    });
    assert_eq!(sizes, [sizes[0]; 3]);
    assert!(model.values(N2).starts_with(&[40]), "{:?}", model.values(N2));
}
