//! From what is asked for and what is seen to what is to be done: pure, without client, clock or I/O.
//!
//! Owns the Kubernetes objects of a cluster, the order of restarts and its gate, scaling, which replicas move, what
//! happens to topics, and what status says. A [`Plan`] is a value: it can be printed and compared before it is done.
//!
//! # Contract with the broker
//! The pod runs `/ottla-broker --config /etc/ottla/server.properties --node-id-from-hostname --override
//! advertised.listeners=…`. Its id is the number at the end of its host name. `process.roles` is absent: a broker is
//! a controller if its id is among `controller.quorum.voters`. `/etc/ottla/pod/rack` holds its rack once known.
//! HTTP on port 9404 answers `/healthz` (the process lives), `/readyz` (registered, unfenced, caught up) and
//! `/v1/restart-safety?brokers=…`. `ottla.bootstrapped` is read at boot only, so its flip needs no restart.

pub mod action;
pub mod cluster;
pub mod facts;
pub mod moves;
pub mod names;
pub mod ownership;
pub mod rebalance;
pub mod resources;
mod revision;
pub mod rollout;
pub mod scale;
pub mod settings;
#[cfg(test)]
mod testing;
pub mod topics;

pub use action::{Action, Event, KafkaAction, KubernetesAction, Reassignment};
pub use cluster::{
    Defaults, Fault, Input, Plan, failed_pause, lint, plan, plan_failed, plan_invalid, question,
};
pub use facts::Observed;
