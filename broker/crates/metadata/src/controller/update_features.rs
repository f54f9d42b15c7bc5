//! UpdateFeatures (KIP-584). No I/O.

use ottla_broker_types::NodeId;

use super::decision::{Context, Decision};
use super::features::supported_features;
use crate::record::{FeatureRange, Record};

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

/// Why no level is set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UpdateFeaturesError {
    /// Nobody can say which of the two is meant.
    #[error("{feature} is named twice")]
    NamedTwice {
        /// As asked.
        feature: String,
    },
    /// This release knows no such feature.
    #[error("there is no feature {feature}")]
    Unknown {
        /// The name as asked.
        feature: String,
    },
    /// This release does not have the feature at that level.
    #[error("{feature} goes from {level_min} to {level_max}")]
    OutOfRange {
        /// As asked.
        feature: String,
        /// Its lowest level, inclusive.
        level_min: i16,
        /// Its highest level, inclusive.
        level_max: i16,
    },
    /// A broker would be shut out.
    #[error("broker {broker} does not support {feature} at {level}")]
    BrokerLacks {
        /// The first such, by id.
        broker: NodeId,
        /// As asked.
        feature: String,
        /// The level as asked.
        level: i16,
    },
    /// A downgrade has to be asked for as one, and an upgrade too.
    #[error("{feature} is at {present}: to go to {asked} ask for the other direction")]
    Direction {
        /// As asked.
        feature: String,
        /// Its level.
        present: i16,
        /// The level as asked.
        asked: i16,
    },
}

/// Sets levels, all or none. With `validate_only` nothing is proposed.
pub fn update_features(
    context: Context<'_>,
    updates: &[FeatureUpdate],
    validate_only: bool,
) -> Result<Decision<()>, UpdateFeaturesError> {
    let mut records = Vec::new();
    for (at, update) in updates.iter().enumerate() {
        let name = &update.name;
        if updates[..at].iter().any(|other| other.name == *name) {
            return Err(UpdateFeaturesError::NamedTwice { feature: name.clone() });
        }
        check_supported(context, update)?;
        let present = context.image.feature(name);
        let upwards = update.upgrade == FeatureUpgradeType::Upgrade;
        if (upwards && update.level < present) || (!upwards && update.level > present) {
            let (feature, asked) = (name.clone(), update.level);
            return Err(UpdateFeaturesError::Direction { feature, present, asked });
        }
        if update.level != present && !validate_only {
            records.push(Record::FeatureLevel { name: name.clone(), level: update.level });
        }
    }
    Ok(Decision { records, reply: () })
}

fn check_supported(context: Context<'_>, update: &FeatureUpdate) -> Result<(), UpdateFeaturesError> {
    let (name, level) = (&update.name, update.level);
    let known = supported_features().into_iter().find(|range| range.name == *name);
    let known = known.ok_or_else(|| UpdateFeaturesError::Unknown { feature: name.clone() })?;
    let FeatureRange { level_min, level_max, .. } = known;
    if !(level_min..=level_max).contains(&level) {
        return Err(UpdateFeaturesError::OutOfRange { feature: known.name, level_min, level_max });
    }
    let lacking = context.image.brokers().find(|broker| {
        let range = broker.feature(name);
        level > 0 && !range.is_some_and(|range| (range.level_min..=range.level_max).contains(&level))
    });
    match lacking {
        Some(broker) => {
            let (broker, feature) = (broker.id, name.clone());
            Err(UpdateFeaturesError::BrokerLacks { broker, feature, level })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::controller::ELR_FEATURE;
    use crate::testing::Cluster;

    fn update(
        cluster: &Cluster,
        name: &str,
        level: i16,
        upgrade: FeatureUpgradeType,
    ) -> Result<(), UpdateFeaturesError> {
        let update = FeatureUpdate { name: name.to_owned(), level, upgrade };
        update_features(cluster.context(), &[update], false).map(|decision| decision.reply)
    }

    #[test]
    fn levels_move_in_the_direction_asked_for_and_within_their_range() {
        let mut cluster = Cluster::of(1);
        use FeatureUpgradeType::{SafeDowngrade, Upgrade};
        assert_eq!(cluster.image.feature(ELR_FEATURE), 1);
        let elr = || ELR_FEATURE.to_owned();
        let direction = UpdateFeaturesError::Direction { feature: elr(), present: 1, asked: 0 };
        assert_eq!(update(&cluster, ELR_FEATURE, 0, Upgrade), Err(direction));
        let range = UpdateFeaturesError::OutOfRange { feature: elr(), level_min: 0, level_max: 1 };
        assert_eq!(update(&cluster, ELR_FEATURE, 9, Upgrade), Err(range));
        let unknown = UpdateFeaturesError::Unknown { feature: "no.feature".to_owned() };
        assert_eq!(update(&cluster, "no.feature", 1, Upgrade), Err(unknown));
        assert_eq!(update(&cluster, ELR_FEATURE, 0, SafeDowngrade), Ok(()));
        cluster.commit(&[Record::FeatureLevel { name: ELR_FEATURE.to_owned(), level: 0 }]);
        assert_eq!(update(&cluster, ELR_FEATURE, 1, Upgrade), Ok(()));
    }

    #[test]
    fn a_level_that_a_broker_lacks_is_refused() {
        let mut cluster = Cluster::new(&[]);
        cluster.commit(&[Record::FeatureLevel { name: ELR_FEATURE.to_owned(), level: 0 }]);
        let mut old = cluster.registration(1, 1);
        old.features.retain(|feature| feature.name != ELR_FEATURE);
        cluster.register(&old, false).expect("the feature is off");
        let refused =
            UpdateFeaturesError::BrokerLacks { broker: NodeId(1), feature: ELR_FEATURE.to_owned(), level: 1 };
        assert_eq!(update(&cluster, ELR_FEATURE, 1, FeatureUpgradeType::Upgrade), Err(refused));
    }
}
