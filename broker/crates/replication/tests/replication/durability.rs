//! `ottla.flush.before.ack`: records count only once they are durable, and a replica names what must be durable before
//! anything is said of it.

use ottla_broker_replication::{AckState, Effects};
use ottla_broker_types::{NodeId, Offset};

use crate::harness::{Model, N1, N2, N3, NODES};

/// Three replicas in sync that count only what is durable.
fn model() -> Model {
    let mut model = Model::new();
    for node in NODES {
        let mut config = model.replica(node).log().config().clone();
        config.flush_before_ack = true;
        model.replica(node).set_log_config(config);
    }
    model
}

/// What the shell does about `sync_to`.
fn sync(model: &mut Model, id: NodeId) -> Effects {
    let now = model.now;
    let plan = model.replica(id).begin_flush().expect("the disk works");
    let (_, effects) = model.replica(id).finish_flush(now, plan, Ok(())).expect("the disk works");
    effects
}

fn fetch_twice(model: &mut Model) {
    for node in [N2, N3, N2, N3] {
        model.fetch(node);
    }
}

#[test]
fn a_leader_names_what_must_be_durable_before_its_records_count() {
    let mut model = model();
    let produced = model.produce(N1, 7, None).expect("it leads");
    assert_eq!(produced.effects.sync_to, Some(Offset::clamped(1)));
    fetch_twice(&mut model);
    assert_eq!(
        model.ack_state(N1, produced.wait),
        AckState::Pending,
        "all have it, and it may still be lost here"
    );
    let effects = sync(&mut model, N1);
    assert_eq!(effects.high_watermark, Some(Offset::clamped(1)));
    assert_eq!(model.ack_state(N1, produced.wait), AckState::Committed);
}

#[test]
fn a_follower_names_what_must_be_durable_before_it_fetches_on() {
    let mut model = model();
    model.write(N1, &[7]);
    let next = |model: &mut Model| model.replica(N2).next_fetch().expect("it follows");
    assert_eq!(next(&mut model).sync_to, None, "it holds nothing");
    model.fetch(N2);
    assert_eq!(next(&mut model).sync_to, Some(Offset::clamped(1)));
    assert_eq!(next(&mut model).position.fetch_offset, Offset::clamped(1));
    let _ = sync(&mut model, N2);
    assert_eq!(next(&mut model).sync_to, None);
}

#[test]
fn a_new_leader_names_what_an_earlier_run_left() {
    let mut model = model();
    model.write(N1, &[7]);
    fetch_twice(&mut model);
    model.elect(N2);
    assert_eq!(model.deliver(N2).sync_to, Some(Offset::clamped(1)));
}

#[test]
fn where_what_is_written_counts_nothing_is_asked_to_be_durable() {
    let mut model = Model::new();
    let produced = model.produce(N1, 7, None).expect("it leads");
    assert_eq!(produced.effects.sync_to, None);
    model.fetch(N2);
    assert_eq!(model.replica(N2).next_fetch().expect("it follows").sync_to, None);
}
