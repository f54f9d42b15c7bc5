//! How a plan's moves are stored: chunks of bytes, each readable by itself, small enough for objects of an API server.
//!
//! A chunk, numbers as LEB128 unless said otherwise:
//!
//! | field | form |
//! |--|--|
//! | magic | `OTPL` and the version, 1, as one byte |
//! | hash | 8 bytes, little endian: the hash of the whole plan |
//! | chunk, chunks | number of this chunk from 0, and of all |
//! | topics | number of topics, then each topic |
//!
//! A topic is its name (length, bytes) and its moves (number, then each). A move is its partition as the difference to
//! the move before, plus one (the first: the partition itself); its bytes; the original list (length, then ids); and
//! the target list (length, then for each replica 0 and its id, or 1 + its position in the original list). A chunk
//! ends with 8 bytes, little endian: a checksum of everything before.
//! No I/O.

use ottla_broker_types::{NodeId, PartitionIndex, TopicName};

use super::moves::{Move, hash};
use crate::rebalance::rng::Hasher;

const MAGIC: [u8; 5] = *b"OTPL\x01";
/// Bytes per chunk that leave room for an object's metadata below the API server's limit of one mebibyte.
pub const CHUNK_BYTES_MAX: usize = 900_000;
/// What a chunk has beside its topics, at most.
const HEAD_AND_SUM_MAX: usize = 51;
/// Replicas that a list may have: far above what anyone uses, and a bound on what a broken chunk makes us allocate.
const REPLICAS_MAX: u64 = 1_000;

/// Why bytes are not a stored plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredPlanError {
    /// A chunk begins otherwise, or with a version of the future.
    #[error("chunk {0} is not a plan of version 1")]
    Magic(usize),
    /// A chunk ends too early or holds impossible numbers.
    #[error("chunk {0} is damaged")]
    Damaged(usize),
    /// Chunks are missing, of another plan, or in another order.
    #[error("chunk {0} does not belong here")]
    Foreign(usize),
    /// All chunks are there, but their moves are not those of the hash.
    #[error("the moves do not fit the plan's hash")]
    Hash,
}

/// Stores moves in chunks of at most `chunk_bytes_max`, or of one move where that alone is larger.
pub fn store(moves: &[Move], chunk_bytes_max: usize) -> Vec<Vec<u8>> {
    let plan = hash(moves);
    let mut bodies: Vec<(u64, Vec<u8>)> = Vec::new();
    let mut at = 0;
    while at < moves.len() || bodies.is_empty() {
        let (topics, body, taken) = body(&moves[at..], chunk_bytes_max.saturating_sub(HEAD_AND_SUM_MAX));
        at += taken;
        bodies.push((topics, body));
    }
    let chunks = bodies.len() as u64;
    let chunk = |(number, (topics, body)): (usize, (u64, Vec<u8>))| {
        let mut out = MAGIC.to_vec();
        out.extend(plan.to_le_bytes());
        put(&mut out, number as u64);
        put(&mut out, chunks);
        put(&mut out, topics);
        out.extend(body);
        let sum = checksum(&out);
        out.extend(sum.to_le_bytes());
        out
    };
    bodies.into_iter().enumerate().map(chunk).collect()
}

fn checksum(bytes: &[u8]) -> u64 {
    let mut hasher = Hasher::new(1);
    hasher.bytes(bytes);
    hasher.finish()
}

/// As many moves as fit, at least one: topics, bytes, and how many moves they are.
fn body(moves: &[Move], bytes_max: usize) -> (u64, Vec<u8>, usize) {
    let (mut topics, mut out, mut taken) = (0, Vec::new(), 0);
    while taken < moves.len() {
        let topic = &moves[taken].topic;
        let end = taken + moves[taken..].partition_point(|m| m.topic == *topic);
        let (mut section, mut count, mut before) = (Vec::new(), 0, None);
        for step in &moves[taken..end] {
            let mut bytes = Vec::new();
            put_move(&mut bytes, step, before);
            let size = out.len() + topic.as_str().len() + 12 + section.len() + bytes.len();
            if size > bytes_max && taken + count > 0 {
                break;
            }
            section.extend(bytes);
            before = Some(step.partition);
            count += 1;
        }
        if count == 0 {
            break;
        }
        put(&mut out, topic.as_str().len() as u64);
        out.extend(topic.as_str().as_bytes());
        put(&mut out, count as u64);
        out.extend(section);
        topics += 1;
        taken += count;
        if taken < end {
            break;
        }
    }
    (topics, out, taken)
}

fn put_move(out: &mut Vec<u8>, step: &Move, before: Option<PartitionIndex>) {
    let index = step.partition.get();
    put(out, before.map_or(index, |before| index.wrapping_sub(before.get()).wrapping_sub(1)) as u32 as u64);
    put(out, step.bytes as u64);
    put(out, step.original.len() as u64);
    step.original.iter().for_each(|id| put(out, id.get() as u32 as u64));
    put(out, step.target.len() as u64);
    for id in &step.target {
        match step.original.iter().position(|other| other == id) {
            Some(at) => put(out, at as u64 + 1),
            None => {
                put(out, 0);
                put(out, id.get() as u32 as u64);
            }
        }
    }
}

fn put(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Reads the moves back from all chunks of a plan, in order.
///
/// # Errors
/// Names the first chunk that is damaged, missing or of another plan; never panics, whatever the bytes.
pub fn load(chunks: &[impl AsRef<[u8]>]) -> Result<Vec<Move>, StoredPlanError> {
    let mut moves = Vec::new();
    let mut plan = None;
    for (number, chunk) in chunks.iter().enumerate() {
        let damaged = StoredPlanError::Damaged(number);
        let rest = chunk.as_ref().strip_prefix(&MAGIC).ok_or(StoredPlanError::Magic(number))?;
        let (rest, sum) = rest.split_last_chunk::<8>().ok_or(damaged.clone())?;
        let end = chunk.as_ref().len() - sum.len();
        if checksum(&chunk.as_ref()[..end]) != u64::from_le_bytes(*sum) {
            return Err(damaged);
        }
        let mut reader = Reader { rest };
        let (found, at, count) = reader.head().ok_or(damaged.clone())?;
        if at != number as u64 || count != chunks.len() as u64 || plan.is_some_and(|plan| plan != found) {
            return Err(StoredPlanError::Foreign(number));
        }
        plan = Some(found);
        moves.extend(load_topics(reader.rest).ok_or(damaged)?);
    }
    match plan {
        Some(plan) if plan == hash(&moves) => Ok(moves),
        Some(_) => Err(StoredPlanError::Hash),
        None => Err(StoredPlanError::Foreign(0)),
    }
}

/// Reads the topics of one chunk: what lies between its head and its sum. `None` if they are damaged. [`load`] comes
/// here once sums are checked; public, because no random input would ever have the right sum.
pub fn load_topics(bytes: &[u8]) -> Option<Vec<Move>> {
    let mut moves = Vec::new();
    let mut reader = Reader { rest: bytes };
    reader.topics(&mut moves).filter(|()| reader.rest.is_empty())?;
    Some(moves)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// A number that is an id or an index: 31 bits.
    fn id(&mut self) -> Option<i32> {
        i32::try_from(self.number()?).ok()
    }

    fn head(&mut self) -> Option<(u64, u64, u64)> {
        let hash = u64::from_le_bytes(self.take(8)?.try_into().ok()?);
        Some((hash, self.number()?, self.number()?))
    }

    fn topics(&mut self, moves: &mut Vec<Move>) -> Option<()> {
        for _ in 0..self.number()? {
            let len = usize::try_from(self.number()?).ok()?;
            let topic = TopicName::new(std::str::from_utf8(self.take(len)?).ok()?).ok()?;
            let mut before: Option<i32> = None;
            for _ in 0..self.number()? {
                let step = self.id()?;
                let partition = match before {
                    None => step,
                    Some(before) => before.checked_add(1)?.checked_add(step)?,
                };
                before = Some(partition);
                moves.push(self.step(&topic, PartitionIndex(partition))?);
            }
        }
        Some(())
    }

    fn step(&mut self, topic: &TopicName, partition: PartitionIndex) -> Option<Move> {
        let bytes = i64::try_from(self.number()?).ok()?;
        let len = self.number().filter(|len| *len <= REPLICAS_MAX)?;
        let original: Vec<NodeId> = (0..len).map(|_| self.id().map(NodeId)).collect::<Option<_>>()?;
        let len = self.number().filter(|len| *len <= REPLICAS_MAX)?;
        let mut target = Vec::new();
        for _ in 0..len {
            target.push(match self.number()? {
                0 => NodeId(self.id()?),
                at => *original.get(usize::try_from(at - 1).ok()?)?,
            });
        }
        Some(Move { topic: topic.clone(), partition, original, target, bytes })
    }
}
