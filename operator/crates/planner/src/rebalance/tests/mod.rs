//! Claims about whole plans.

mod bad;
mod fleet;
mod flow;
mod forms;
mod golden;
mod oracle;
mod random;
mod scale;
mod serve;
mod soak;
mod wild;
