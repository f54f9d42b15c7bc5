//! Growing and shrinking the ISR, with a controller that answers late, twice or not at all.

use ottla_broker_replication::IsrUnchanged;
use ottla_broker_types::Offset;

use crate::harness::{Model, N1, N2, N3};

fn shrink_to_two(model: &mut Model) {
    model.kill(N3);
    model.write(N1, &[1]);
    model.leave_out_laggards(N1);
    assert_eq!(model.state.isr, [N1, N2]);
}

#[test]
fn krabka_7_the_isr_grows_back() {
    let mut model = Model::new();
    shrink_to_two(&mut model);
    assert_eq!(model.high_watermark(N1), 1, "the laggard held it back until it left");
    model.restart(N3);
    model.settle();
    assert_eq!(model.state.isr, [N1, N2, N3]);
    assert_eq!(model.replica(N1).isr().map(|isr| isr.len()), Some(3));
    assert!(!model.replica(N1).is_under_replicated());
    assert_eq!(model.values(N3), [1]);
}

#[test]
fn an_unknown_outcome_is_asked_again_and_counts_until_it_is_known() {
    let mut model = Model::new();
    shrink_to_two(&mut model);
    model.restart(N3);
    let _ = model.deliver(N3);
    while model.proposals.is_empty() {
        let _ = model.fetch(N3);
    }
    let (_, proposal) = model.proposals.remove(0);
    // The controller commits it, but the answer is lost.
    assert!(model.judge(N1, &proposal).is_ok());
    let now = model.now;
    let effects = model.replica(N1).alter_partition_result(now, &proposal, Err(IsrUnchanged::Unknown));
    assert_eq!(effects.isr_change.as_ref(), Some(&proposal));
    model.write(N1, &[2]);
    for _ in 0..2 {
        let _ = model.fetch(N2);
    }
    assert_eq!(model.high_watermark(N1), 1, "node 3 may be elected already");
    // The second attempt is too late, and that is no reason to forget node 3.
    let refused = model.judge(N1, &proposal).map(|_| ());
    assert_eq!(refused, Err(IsrUnchanged::Overtaken));
    let _ = model.replica(N1).alter_partition_result(now, &proposal, Err(IsrUnchanged::Overtaken));
    assert_eq!(model.high_watermark(N1), 1);
    let _ = model.deliver(N1);
    assert_eq!(model.replica(N1).isr().map(|isr| isr.len()), Some(3));
    model.settle();
    assert_eq!(model.high_watermark(N1), 2);
}

#[test]
fn a_certain_refusal_frees_the_high_watermark() {
    let mut model = Model::new();
    shrink_to_two(&mut model);
    model.restart(N3);
    let _ = model.deliver(N3);
    while model.proposals.is_empty() {
        let _ = model.fetch(N3);
    }
    model.kill(N3);
    model.write(N1, &[2]);
    for _ in 0..2 {
        let _ = model.fetch(N2);
    }
    assert_eq!(model.high_watermark(N1), 1);
    model.wait(1_000);
    let _ = model.fetch(N2);
    let effects = model.decide().expect("refused: node 3 is gone");
    assert_eq!(effects.high_watermark, Some(Offset::clamped(2)));
    assert_eq!(model.state.isr, [N1, N2]);
}

#[test]
fn an_answer_to_a_proposal_that_is_not_in_flight_changes_nothing() {
    let mut model = Model::new();
    model.kill(N3);
    model.write(N1, &[1]);
    model.settle();
    model.wait(1_000);
    let _ = model.fetch(N2);
    let _ = model.tick(N1);
    let (_, proposal) = model.proposals.remove(0);
    let decided = model.judge(N1, &proposal);
    let _ = model.deliver(N1);
    let now = model.now;
    assert!(model.replica(N1).alter_partition_result(now, &proposal, decided).is_empty());
    assert!(model.replica(N1).alter_partition_result(now, &proposal, Err(IsrUnchanged::Unknown)).is_empty());
}

#[test]
fn a_restarted_replica_starts_from_its_checkpointed_high_watermark() {
    let mut model = Model::new();
    model.write(N1, &[1, 2]);
    model.settle();
    model.checkpoint(N2);
    model.write(N1, &[3]);
    model.settle();
    model.kill(N2);
    model.restart(N2);
    assert_eq!(model.high_watermark(N2), 2);
    model.settle();
    assert_eq!(model.high_watermark(N2), 3);
}
