//! Batches that a producer had sent behind one that was refused.

use ottla_broker_protocol::ErrorCode;
use ottla_broker_replication::{Acks, ProduceError};

use crate::harness::{Model, N1, N2, Producer, numbered};

const REFUSED: ErrorCode = ErrorCode::NotEnoughReplicas;

fn behind(model: &mut Model, sequence: i32) -> Result<i64, ProduceError> {
    let now = model.now;
    let mut batch = numbered(7, 0, sequence);
    let produced = model.replica(N1).append_after_refused(now, &mut batch, None, Acks::All, REFUSED)?;
    Ok(produced.appended.base_offset.get())
}

fn is_refused_alike(result: &Result<i64, ProduceError>) -> bool {
    matches!(result, Err(ProduceError::AfterRefused { code: REFUSED }))
}

#[test]
fn a_batch_behind_the_refused_first_one_of_a_producer_does_not_take_its_place() {
    let mut model = Model::new();
    assert!(is_refused_alike(&behind(&mut model, 1)));
    model.produce(N1, 5, Some(Producer { id: 7, sequence: 0 })).expect("the log knows nothing of it");
    assert_eq!(behind(&mut model, 1).expect("its turn"), 1);
}

#[test]
fn a_gap_behind_a_refused_batch_is_no_fault_of_the_producer() {
    let mut model = Model::new();
    model.produce(N1, 5, Some(Producer { id: 7, sequence: 0 })).expect("a first batch");
    assert!(is_refused_alike(&behind(&mut model, 2)));
    let gap = model.produce(N1, 6, Some(Producer { id: 7, sequence: 2 }));
    assert!(matches!(gap, Err(ProduceError::Append(_))), "without a refusal it is one");
}

#[test]
fn a_refusal_that_the_producer_made_good_elsewhere_stands_in_nobodys_way() {
    let mut model = Model::new();
    for sequence in 0..3 {
        model.produce(N1, 5, Some(Producer { id: 7, sequence })).expect("in order");
    }
    model.settle();
    assert_eq!(behind(&mut model, 3).expect("nothing is missing before it"), 3);
    assert_eq!(behind(&mut model, 1).expect("a duplicate"), 1);
}

#[test]
fn one_who_does_not_lead_says_so() {
    let mut model = Model::new();
    model.elect(N2);
    model.deliver_all();
    assert!(matches!(behind(&mut model, 1), Err(ProduceError::NotLeaderOrFollower)));
}
