//! The rules, one a file: each a function from the sources to the places that break it.

pub(crate) mod asserts;
pub(crate) mod circles;
pub(crate) mod headers;
pub(crate) mod ignored;
pub(crate) mod layers;
pub(crate) mod order;
pub(crate) mod orphans;
pub(crate) mod paths;
pub(crate) mod planted;
pub(crate) mod purity;
pub(crate) mod readers;
pub(crate) mod sizes;
pub(crate) mod unused;
pub(crate) mod words;
pub(crate) mod writes;
