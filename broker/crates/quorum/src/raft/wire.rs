//! The library's values as bytes, for files and messages alike (`FORMAT.md`). No I/O.

use std::collections::{BTreeMap, BTreeSet};

use bytes::BufMut;

use super::types::{
    Address, Batch, Entry, LogId, Payload, RaftMembership, Stored, Vote, log_id, term_of, vote,
};
use crate::Term;
use crate::codec::{DecodeError, Fields, crc32c, put_text, put_voter_id};

/// The frame's layout; another one is another number.
pub(crate) const FRAME_VERSION: u8 = 1;
pub(crate) const KIND_BLANK: u8 = 0;
pub(crate) const KIND_BATCH: u8 = 1;
pub(crate) const KIND_MEMBERSHIP: u8 = 2;

/// Appends one log entry as a frame.
pub(crate) fn put_frame(out: &mut Vec<u8>, entry: &Entry) {
    let start = out.len();
    out.put_u32(0);
    out.put_u32(0);
    out.put_u8(FRAME_VERSION);
    let kind = match &entry.payload {
        Payload::Blank => KIND_BLANK,
        Payload::Normal(_) => KIND_BATCH,
        Payload::Membership(_) => KIND_MEMBERSHIP,
    };
    out.put_u8(kind);
    out.put_u64(term_of(&entry.log_id).0);
    out.put_u64(entry.log_id.index);
    match &entry.payload {
        Payload::Blank => {}
        Payload::Normal(batch) => out.put_slice(&batch.0),
        Payload::Membership(membership) => put_membership(out, membership),
    }
    let len = u32::try_from(out.len() - start - 8).expect("batches are bounded far below 4 GiB");
    let crc = crc32c(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&len.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_be_bytes());
}

/// Takes one log entry from a frame and checks its checksum.
pub(crate) fn take_frame(fields: &mut Fields) -> Result<Entry, DecodeError> {
    let len = fields.u32("frame length")? as usize;
    let stored = fields.u32("frame checksum")?;
    let bytes = fields.bytes(len, "frame")?;
    let computed = crc32c(&bytes);
    if stored != computed {
        return Err(DecodeError::Checksum { what: "frame", stored, computed });
    }
    let mut frame = Fields::new(bytes);
    let version = frame.u8("frame version")?;
    if version > FRAME_VERSION {
        return Err(DecodeError::Newer { what: "an entry of the metadata log" });
    }
    if version != FRAME_VERSION {
        return Err(DecodeError::Value { what: "frame version", value: version.into() });
    }
    let kind = frame.u8("frame kind")?;
    let term = Term(frame.u64("frame term")?);
    let index = take_index(&mut frame)?;
    let payload = match kind {
        KIND_BLANK => Payload::Blank,
        KIND_BATCH => {
            let batch = Batch(frame.rest());
            batch.records()?;
            Payload::Normal(batch)
        }
        KIND_MEMBERSHIP => Payload::Membership(take_membership(&mut frame)?),
        _ => return Err(DecodeError::Newer { what: "an entry of the metadata log" }),
    };
    Ok(Entry { log_id: log_id(term, index), payload })
}

pub(crate) fn put_log_id(out: &mut Vec<u8>, id: Option<&LogId>) {
    out.put_u8(id.is_some().into());
    out.put_u64(id.map_or(0, |id| term_of(id).0));
    out.put_u64(id.map_or(0, |id| id.index));
}

pub(crate) fn take_log_id(fields: &mut Fields) -> Result<Option<LogId>, DecodeError> {
    let is_some = fields.bool("log id")?;
    let term = Term(fields.u64("log id's term")?);
    let index = take_index(fields)?;
    Ok(is_some.then(|| log_id(term, index)))
}

/// Positions are counted up from here and told to clients as signed numbers, so half of them is out of bounds.
fn take_index(fields: &mut Fields) -> Result<u64, DecodeError> {
    match fields.u64("position")? {
        index if index < i64::MAX as u64 => Ok(index),
        value => Err(DecodeError::Value { what: "position", value }),
    }
}

pub(crate) fn put_vote(out: &mut Vec<u8>, vote: &Vote) {
    out.put_u64(vote.leader_id.term);
    put_voter_id(out, vote.leader_id.voted_for);
    out.put_u8(vote.committed.into());
}

pub(crate) fn take_vote(fields: &mut Fields) -> Result<Vote, DecodeError> {
    let term = Term(fields.u64("vote's term")?);
    let candidate = fields.voter_id("vote's candidate")?;
    Ok(vote(term, candidate, fields.bool("vote's state")?))
}

pub(crate) fn put_membership(out: &mut Vec<u8>, membership: &RaftMembership) {
    let configs = membership.get_joint_config();
    put_count(out, configs.len());
    for config in configs {
        put_count(out, config.len());
        for id in config {
            put_voter_id(out, *id);
        }
    }
    put_count(out, membership.nodes().count());
    for (id, address) in membership.nodes() {
        put_voter_id(out, *id);
        put_text(out, &address.0);
    }
}

pub(crate) fn take_membership(fields: &mut Fields) -> Result<RaftMembership, DecodeError> {
    let mut configs = Vec::new();
    for _ in 0..fields.u16("count of voter sets")? {
        let mut config = BTreeSet::new();
        for _ in 0..fields.u16("count of voters")? {
            config.insert(fields.voter_id("voter")?);
        }
        configs.push(config);
    }
    let mut nodes = BTreeMap::new();
    for _ in 0..fields.u16("count of members")? {
        let id = fields.voter_id("member")?;
        nodes.insert(id, Address(fields.text("member's address")?));
    }
    if configs.is_empty() {
        return Ok(RaftMembership::default());
    }
    RaftMembership::new(configs, nodes).map_err(|_| DecodeError::Value { what: "membership", value: 0 })
}

pub(crate) fn put_stored_membership(out: &mut Vec<u8>, stored: &Stored) {
    put_log_id(out, stored.log_id().as_ref());
    put_membership(out, stored.membership());
}

pub(crate) fn take_stored_membership(fields: &mut Fields) -> Result<Stored, DecodeError> {
    let id = take_log_id(fields)?;
    Ok(Stored::new(id, take_membership(fields)?))
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    out.put_u16(u16::try_from(count).expect("a quorum has far fewer than 65,536 members"));
}
