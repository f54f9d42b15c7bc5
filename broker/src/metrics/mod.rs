//! Counters and gauges under the names that the JMX exporter gives Apache Kafka's, so dashboards carry over.

#[cfg(test)]
mod contract;
mod page;
mod registry;
mod text;

pub use page::page;
pub use registry::{Metrics, TopicCounters};
pub use text::MetricsText;
