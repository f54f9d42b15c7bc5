//! UpdateFeatures (KIP-584). No I/O.

use ottla_broker_protocol::ErrorCode;

use super::decision::{Context, Decision, Refused};
use super::features::supported_features;
use crate::record::Record;

/// Which way a level may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FeatureUpgradeType {
    /// Up only.
    Upgrade,
    /// Down, if nothing is lost.
    SafeDowngrade,
    /// Down, whatever is lost.
    UnsafeDowngrade,
}

/// A level to set; zero switches the feature off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeatureUpdate {
    /// The feature.
    pub name: String,
    /// Its new level.
    pub level: i16,
    /// Which way it may go.
    pub upgrade: FeatureUpgradeType,
}

/// Sets levels, all or none. With `validate_only` nothing is proposed.
///
/// Errors: INVALID_UPDATE_VERSION (unknown, out of range, or not supported by every broker), INVALID_REQUEST (wrong
/// direction, named twice).
pub fn update_features(
    context: Context<'_>,
    updates: &[FeatureUpdate],
    validate_only: bool,
) -> Result<Decision<()>, Refused> {
    let mut records = Vec::new();
    for (at, update) in updates.iter().enumerate() {
        let name = &update.name;
        if updates[..at].iter().any(|other| other.name == *name) {
            return Err(Refused::new(ErrorCode::InvalidRequest, format!("{name} is named twice")));
        }
        check_supported(context, update)?;
        let present = context.image.feature(name);
        let upwards = update.upgrade == FeatureUpgradeType::Upgrade;
        if (upwards && update.level < present) || (!upwards && update.level > present) {
            let message =
                format!("{name} is at {present}: to go to {} ask for the other direction", update.level);
            return Err(Refused::new(ErrorCode::InvalidRequest, message));
        }
        if update.level != present && !validate_only {
            records.push(Record::FeatureLevel { name: name.clone(), level: update.level });
        }
    }
    Ok(Decision { records, reply: () })
}

fn check_supported(context: Context<'_>, update: &FeatureUpdate) -> Result<(), Refused> {
    let refuse = |message| Err(Refused::new(ErrorCode::InvalidUpdateVersion, message));
    let (name, level) = (&update.name, update.level);
    let Some(known) = supported_features().into_iter().find(|range| range.name == *name) else {
        return refuse(format!("there is no feature {name}"));
    };
    if !(known.level_min..=known.level_max).contains(&level) {
        return refuse(format!("{name} goes from {} to {}", known.level_min, known.level_max));
    }
    let lacking = context.image.brokers().find(|broker| {
        let range = broker.feature(name);
        level > 0 && !range.is_some_and(|range| (range.level_min..=range.level_max).contains(&level))
    });
    match lacking {
        Some(broker) => refuse(format!("broker {} does not support {name} at {level}", broker.id)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::ELR_FEATURE;
    use crate::testing::Cluster;

    fn code(cluster: &Cluster, name: &str, level: i16, upgrade: FeatureUpgradeType) -> ErrorCode {
        let update = FeatureUpdate { name: name.to_owned(), level, upgrade };
        let decision = update_features(cluster.context(), &[update], false);
        decision.map_or_else(|refused| refused.code, |_| ErrorCode::None)
    }

    #[test]
    fn levels_move_in_the_direction_asked_for_and_within_their_range() {
        let mut cluster = Cluster::of(1);
        use FeatureUpgradeType::{SafeDowngrade, Upgrade};
        assert_eq!(cluster.image.feature(ELR_FEATURE), 1);
        assert_eq!(code(&cluster, ELR_FEATURE, 0, Upgrade), ErrorCode::InvalidRequest);
        assert_eq!(code(&cluster, ELR_FEATURE, 9, Upgrade), ErrorCode::InvalidUpdateVersion);
        assert_eq!(code(&cluster, "no.feature", 1, Upgrade), ErrorCode::InvalidUpdateVersion);
        assert_eq!(code(&cluster, ELR_FEATURE, 0, SafeDowngrade), ErrorCode::None);
        cluster.commit(&[Record::FeatureLevel { name: ELR_FEATURE.to_owned(), level: 0 }]);
        assert_eq!(code(&cluster, ELR_FEATURE, 1, Upgrade), ErrorCode::None);
    }

    #[test]
    fn a_level_that_a_broker_lacks_is_refused() {
        let mut cluster = Cluster::new(&[]);
        cluster.commit(&[Record::FeatureLevel { name: ELR_FEATURE.to_owned(), level: 0 }]);
        let mut old = cluster.registration(1, 1);
        old.features.retain(|feature| feature.name != ELR_FEATURE);
        cluster.register(&old, false).expect("the feature is off");
        let result = code(&cluster, ELR_FEATURE, 1, FeatureUpgradeType::Upgrade);
        assert_eq!(result, ErrorCode::InvalidUpdateVersion);
    }
}
