//! The forms in which plans and models are shown, stored and checked.

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use super::random::{EVERYTHING, model};
use crate::rebalance::report::{Lists, Outcome, to_json, to_kafka_file};
use crate::rebalance::rng::SplitMix64;
use crate::rebalance::{
    Broker, BrokerState, CHUNK_BYTES_MAX, Fault, Model, Move, Options, Partition, StoredPlanError, apply,
    explain, judge, lint, load, plan, read_model, store, write_model,
};

/// Two racks of two brokers, one of them draining, and a topic that lives on two of them.
fn small() -> Model {
    let topic = TopicName::new("orders").expect("a valid name");
    let rack = |id: i32| Some(format!("zone-{}", id % 2));
    let mut model = Model {
        brokers: (0..4).map(|id| Broker::new(NodeId(id), rack(id))).collect(),
        partitions: (0..8)
            .map(|index| Partition::new(topic.clone(), PartitionIndex(index), vec![NodeId(0), NodeId(1)]))
            .collect(),
    };
    model.brokers[1].state = BrokerState::Draining;
    model
}

#[test]
fn models_survive_their_file() {
    for seed in 0..50 {
        let model = model(seed, EVERYTHING);
        assert_eq!(read_model(write_model(&model).as_bytes()).expect("a model"), model);
    }
}

#[test]
fn a_model_file_says_where_it_is_wrong() {
    let refusal = |text: &str| read_model(text.as_bytes()).expect_err("a refusal").to_string();
    assert!(refusal("{").contains("line 1"));
    assert!(
        refusal(r#"{"brokers": [{"id": 0, "rak": "a"}], "partitions": []}"#).contains("unknown field `rak`")
    );
    let bad_name = r#"{"brokers": [], "partitions": [{"topic": "a b", "partition": 0, "replicas": []}]}"#;
    assert_eq!(
        refusal(bad_name),
        "partition entry 0 (from 0): the topic name contains ' ': use letters, digits, '.', '_' and '-' only"
    );
}

#[test]
fn plans_survive_storage_in_chunks_of_any_size() {
    for seed in 0..50 {
        let Ok(planned) = plan(&model(seed, EVERYTHING), &Options::default()) else { continue };
        for bytes_max in [1, 60, 200, CHUNK_BYTES_MAX] {
            let chunks = store(planned.moves(), bytes_max);
            assert_eq!(load(&chunks).expect("a plan"), planned.moves(), "seed {seed}, {bytes_max} bytes");
        }
        assert!(store(planned.moves(), 400).iter().all(|chunk| chunk.len() <= 400), "seed {seed}");
    }
}

#[test]
fn damaged_chunks_are_refused() {
    let planned = plan(&small(), &Options::default()).expect("a plan");
    let chunks = store(planned.moves(), 70);
    assert!(chunks.len() > 2);
    assert_eq!(load(&chunks[1..]), Err(StoredPlanError::Foreign(0)));
    assert_eq!(load(&chunks[..1]), Err(StoredPlanError::Foreign(0)));
    assert_eq!(load(&[] as &[Vec<u8>]), Err(StoredPlanError::Foreign(0)));
    let mut rng = SplitMix64::new(5, 5);
    for _ in 0..2_000 {
        let mut broken = chunks.clone();
        let chunk = rng.below(broken.len());
        let at = rng.below(broken[chunk].len());
        broken[chunk][at] ^= 1 << rng.below(8);
        assert!(load(&broken).is_err(), "a flipped bit at {at} of chunk {chunk}");
    }
}

#[test]
fn fresh_plans_lint_clean_and_stale_ones_do_not() {
    for seed in 0..100 {
        let model = model(seed, EVERYTHING);
        let Ok(planned) = plan(&model, &Options::default()) else { continue };
        let faults: Vec<Fault> =
            lint(&model, &planned).into_iter().filter(|f| !matches!(f, Fault::NoSource(_))).collect();
        assert!(faults.is_empty(), "seed {seed}: {faults:?}");
    }
    let planned = plan(&small(), &Options::default()).expect("a plan");
    let mut later = small();
    later.partitions.remove(0);
    later.partitions[0].reassigning = true;
    later.partitions[1].replicas.reverse();
    later.partitions[2].replication_factor = Some(3);
    later.brokers[3].state = BrokerState::Dead;
    let faults: Vec<String> = lint(&later, &planned).iter().map(ToString::to_string).collect();
    for part in [
        "orders-0 does not exist",
        "orders-1 is being reassigned by someone else",
        "orders-2 has other replicas than the plan started from",
        "orders-3 would have 2 replicas instead of 3",
        "which is not there to stay",
    ] {
        assert!(faults.iter().any(|fault| fault.contains(part)), "{part:?} is missing in {faults:?}");
    }
}

#[test]
fn every_move_is_explained() {
    let model = small();
    let planned = plan(&model, &Options::default()).expect("a plan");
    let explained = explain(&model, &planned);
    assert_eq!(explained.len(), planned.moves().len());
    assert!(explained.iter().all(|e| !e.reasons.is_empty()));
    assert!(explained[0].to_string().contains("broker 1 is draining"), "{}", explained[0]);
    assert!(
        explained.iter().any(|e| e.to_string().contains("broker 0 holds 8 replicas where 4 are its share"))
    );
}

#[test]
fn the_file_for_kafka_holds_the_way_there_and_back() {
    let model = small();
    let planned = plan(&model, &Options::default()).expect("a plan");
    for (lists, expected) in [(Lists::Target, apply(&model, &planned)), (Lists::Original, model.clone())] {
        let file: serde_json::Value = serde_json::from_str(&to_kafka_file(&planned, lists)).expect("JSON");
        assert_eq!(file["version"], 1);
        let first = &file["partitions"][0];
        assert_eq!((first["topic"].as_str(), first["partition"].as_i64()), (Some("orders"), Some(0)));
        let replicas: Vec<i32> = expected.partitions[0].replicas.iter().map(|id| id.get()).collect();
        assert_eq!(first["replicas"], serde_json::json!(replicas));
    }
}

#[test]
fn outcomes_have_their_exit_codes() {
    let model = small();
    let planned = plan(&model, &Options::default());
    let json = to_json(planned.as_ref().expect("a plan"));
    assert_eq!(json["moves"], 12);
    assert_eq!(Outcome::of(&planned).exit_code(), 2);
    let after = apply(&model, planned.as_ref().expect("a plan"));
    assert_eq!(Outcome::of(&plan(&after, &Options::default())).exit_code(), 0);
    let none = Model { brokers: vec![], ..model };
    assert_eq!(Outcome::of(&plan(&none, &Options::default())).exit_code(), 3);
}

#[test]
fn an_assignment_from_elsewhere_is_judged_as_its_plan_would_be() {
    for seed in 0..50 {
        let model = model(seed, EVERYTHING);
        let Ok(planned) = plan(&model, &Options::default()) else { continue };
        let judged = judge(&model, &apply(&model, &planned), &Options::default()).expect("a judgement");
        assert_eq!(judged.hash(), planned.hash());
        assert_eq!(judged.score().dimensions, planned.score().dimensions);
    }
}

/// Plans as they were stored, by version of the format: a release reads what every earlier one left behind in the API
/// server, and carries it out. One that is added stays for good.
const STORED: [(u8, [&[u8]; 3]); 1] = [(
    1,
    [
        include_bytes!("../../../fixtures/stored-plan-1-0.bin"),
        include_bytes!("../../../fixtures/stored-plan-1-1.bin"),
        include_bytes!("../../../fixtures/stored-plan-1-2.bin"),
    ],
)];

/// The moves that every fixture holds.
fn moves_of_fixtures() -> Vec<Move> {
    let step = |topic: &str, partition: i32, original: &[i32], target: &[i32], bytes: i64| Move {
        topic: TopicName::new(topic).expect("a good name"),
        partition: PartitionIndex(partition),
        original: original.iter().copied().map(NodeId).collect(),
        target: target.iter().copied().map(NodeId).collect(),
        bytes,
    };
    vec![
        step("__consumer_offsets", 7, &[0, 1, 2], &[3, 1, 2], 0),
        step("flights", 0, &[0], &[300], 1 << 40),
        step("flights", 200, &[2, 1, 0], &[0, 1, 2], 5),
        step("flights", 201, &[0, 1], &[1, 4], i64::MAX),
    ]
}

#[test]
fn plans_of_every_version_that_was_ever_stored_are_read() {
    for (version, chunks) in STORED {
        assert_eq!(load(&chunks).as_deref(), Ok(&moves_of_fixtures()[..]), "version {version}");
    }
}

#[test]
fn the_version_that_is_stored_now_has_a_fixture_and_is_what_it_was() {
    let now = store(&moves_of_fixtures(), 110);
    let (version, newest) = STORED.last().expect("there is one");
    assert_eq!(now[0][4], *version, "a new version needs a fixture: {now:?}");
    assert!(now == newest, "the bytes of version {version} changed: {now:?}");
}
