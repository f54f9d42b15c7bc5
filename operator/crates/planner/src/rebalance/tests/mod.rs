//! Claims about whole plans.

mod scale;
