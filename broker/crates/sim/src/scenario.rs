//! From a seed to the size and the troubles of a run. No I/O.

use crate::client::{Habits, Ways};
use crate::net::NetProfile;
use crate::node::Setup;
use crate::rng::Rng;

/// Time for registration and the topic's creation before faults begin, in milliseconds.
pub(crate) const CALM_MS: u64 = 2_500;
/// Time between the last fault and the last new record, in milliseconds.
pub(crate) const AFTERMATH_MS: u64 = 2_000;
/// Time that the cluster has to heal after that, in milliseconds: many leases and lag times.
pub(crate) const HEAL_MS: u64 = 12_000;

fn habits(rng: &mut Rng) -> Habits {
    Habits {
        ways: if rng.chance(500) { Ways::Librdkafka } else { Ways::Java },
        in_flight_max: if rng.chance(300) { 1 } else { 5 },
    }
}

/// What a seed stands for.
#[derive(Debug)]
pub struct Scenario {
    /// Node count and the like.
    pub setup: Setup,
    /// The network.
    pub net: NetProfile,
    /// How each client produces.
    pub habits: Vec<Habits>,
    /// Count of the group's members.
    pub member_count: u32,
    /// How long faults go on, in milliseconds.
    pub faults_ms: u64,
}

impl Scenario {
    /// The scenario of a seed.
    pub fn new(rng: &Rng) -> Scenario {
        let mut rng = rng.split("scenario");
        let node_count = *rng.pick(&[3, 3, 4, 5]).unwrap_or(&3);
        let partitions = rng.between(1, 3) as i32;
        let segment_bytes = *rng.pick(&[400, 1_500, 20_000]).unwrap_or(&1_500);
        let flush_interval_ms = *rng.pick(&[200, 1_000, 60_000]).unwrap_or(&1_000);
        let calm_net = rng.chance(300);
        let net = NetProfile {
            delay_min_us: 100,
            delay_max_us: *rng.pick(&[500, 5_000, 40_000]).unwrap_or(&5_000),
            loss_permille: if calm_net { 0 } else { rng.below(20) },
            late_permille: if calm_net { 0 } else { rng.below(10) },
        };
        Scenario {
            setup: Setup::new(node_count, partitions, segment_bytes, flush_interval_ms),
            net,
            habits: (0..rng.between(1, 3)).map(|_| habits(&mut rng)).collect(),
            member_count: rng.between(1, 3) as u32,
            faults_ms: rng.between(4_000, 16_000),
        }
    }
}
