//! Claims about whole plans.

mod bad;
mod flow;
mod forms;
mod oracle;
mod random;
mod scale;
mod wild;
