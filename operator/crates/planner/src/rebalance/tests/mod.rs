//! Claims about whole plans.

mod bad;
mod flow;
mod oracle;
mod random;
mod scale;
