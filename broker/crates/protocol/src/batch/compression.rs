//! The four codecs of Kafka, decompressing never more than a bound. No I/O beyond memory.

use std::io::{Read, Write};

use super::BatchError;

/// How a batch's records are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// RFC 1952.
    Gzip,
    /// Snappy, raw or in the framing of xerial's library, which Kafka's own clients write.
    Snappy,
    /// LZ4 frames.
    Lz4,
    /// Zstandard frames; only from Produce v7 and Fetch v10 on (KIP-110).
    Zstd,
}

/// Start of xerial's framing; a raw snappy stream cannot start so and be valid.
pub(super) const XERIAL_MAGIC: &[u8] = b"\x82SNAPPY\x00";
/// The magic, then version and oldest compatible version as int32.
pub(super) const XERIAL_HEADER_LEN: usize = XERIAL_MAGIC.len() + 8;
/// Block size that xerial's library writes.
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// Snappy's densest element copies 64 bytes and takes 3, so 64 times the input is above what any input gives.
/// A declared length beyond it is a lie that is refused before the output is allocated.
const SNAPPY_RATIO_MAX: usize = 64;
/// zstd's own default: frames that ask for a larger window than 128 MiB are refused.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;

impl Compression {
    pub(super) fn from_codec(codec: i16) -> Option<Compression> {
        Some(match codec {
            0 => Compression::None,
            1 => Compression::Gzip,
            2 => Compression::Snappy,
            3 => Compression::Lz4,
            4 => Compression::Zstd,
            _ => return None,
        })
    }

    /// The value of the codec bits.
    pub(super) fn codec(self) -> i16 {
        self as i16
    }

    /// Decompresses `input` into at most `output_max` bytes.
    pub(super) fn decompress(self, input: &[u8], output_max: usize) -> Result<Vec<u8>, BatchError> {
        match self {
            Compression::None => {
                if input.len() > output_max {
                    return Err(BatchError::OutputTooLarge { limit: output_max });
                }
                Ok(input.to_vec())
            }
            Compression::Gzip => read_capped(flate2::read::MultiGzDecoder::new(input), output_max),
            Compression::Snappy => decompress_snappy(input, output_max),
            Compression::Lz4 => read_capped(lz4_flex::frame::FrameDecoder::new(input), output_max),
            Compression::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::with_buffer(input)
                    .map_err(|_| BatchError::CorruptCompression)?;
                decoder.window_log_max(ZSTD_WINDOW_LOG_MAX).map_err(|_| BatchError::CorruptCompression)?;
                read_capped(decoder, output_max)
            }
        }
    }

    /// Compresses `input` at each codec's default level.
    pub(super) fn compress(self, input: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Compression::None => Ok(input.to_vec()),
            Compression::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
                encoder.write_all(input)?;
                encoder.finish()
            }
            Compression::Snappy => compress_snappy(input),
            Compression::Lz4 => {
                let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
                encoder.write_all(input)?;
                encoder.finish().map_err(std::io::Error::other)
            }
            Compression::Zstd => zstd::bulk::compress(input, zstd::DEFAULT_COMPRESSION_LEVEL),
        }
    }
}

fn read_capped(decoder: impl Read, output_max: usize) -> Result<Vec<u8>, BatchError> {
    let mut output = Vec::new();
    // One byte above the limit tells "too large" from "just fits".
    let limit = (output_max as u64).saturating_add(1);
    decoder.take(limit).read_to_end(&mut output).map_err(|_| BatchError::CorruptCompression)?;
    if output.len() > output_max {
        return Err(BatchError::OutputTooLarge { limit: output_max });
    }
    Ok(output)
}

fn decompress_snappy(input: &[u8], output_max: usize) -> Result<Vec<u8>, BatchError> {
    let mut output = Vec::new();
    if !input.starts_with(XERIAL_MAGIC) {
        append_snappy_block(input, &mut output, output_max)?;
        return Ok(output);
    }
    let mut rest = input.get(XERIAL_HEADER_LEN..).ok_or(BatchError::CorruptCompression)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk().ok_or(BatchError::CorruptCompression)?;
        let length = u32::from_be_bytes(*length) as usize;
        let (block, after) = after.split_at_checked(length).ok_or(BatchError::CorruptCompression)?;
        append_snappy_block(block, &mut output, output_max)?;
        rest = after;
    }
    Ok(output)
}

fn append_snappy_block(block: &[u8], output: &mut Vec<u8>, output_max: usize) -> Result<(), BatchError> {
    let declared = snap::raw::decompress_len(block).map_err(|_| BatchError::CorruptCompression)?;
    if declared > block.len().saturating_mul(SNAPPY_RATIO_MAX) {
        return Err(BatchError::CorruptCompression);
    }
    if declared > output_max - output.len() {
        return Err(BatchError::OutputTooLarge { limit: output_max });
    }
    let start = output.len();
    output.resize(start + declared, 0);
    let written = snap::raw::Decoder::new()
        .decompress(block, &mut output[start..])
        .map_err(|_| BatchError::CorruptCompression)?;
    output.truncate(start + written);
    Ok(())
}

fn compress_snappy(input: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut output = XERIAL_MAGIC.to_vec();
    output.extend_from_slice(&1i32.to_be_bytes());
    output.extend_from_slice(&1i32.to_be_bytes());
    let mut encoder = snap::raw::Encoder::new();
    for chunk in input.chunks(XERIAL_BLOCK_BYTES) {
        let block = encoder.compress_vec(chunk).map_err(std::io::Error::other)?;
        output.extend_from_slice(&(block.len() as u32).to_be_bytes());
        output.extend_from_slice(&block);
    }
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Compression; 5] =
        [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

    #[test]
    fn every_codec_gives_back_what_it_took() {
        let input: Vec<u8> = (0..200_000u32).map(|i| (i / 7) as u8).collect();
        for codec in ALL {
            let packed = codec.compress(&input).unwrap();
            assert_eq!(codec.decompress(&packed, input.len()).unwrap(), input, "{codec:?}");
        }
    }

    #[test]
    fn output_beyond_the_cap_is_refused_by_every_codec() {
        let input = vec![0u8; 1_000_000];
        for codec in ALL {
            let packed = codec.compress(&input).unwrap();
            let limit = input.len() - 1;
            assert_eq!(
                codec.decompress(&packed, limit),
                Err(BatchError::OutputTooLarge { limit }),
                "{codec:?}"
            );
        }
    }

    #[test]
    fn raw_snappy_is_read_as_well() {
        let packed = snap::raw::Encoder::new().compress_vec(b"plain").unwrap();
        assert_eq!(Compression::Snappy.decompress(&packed, 5).unwrap(), b"plain");
    }

    #[test]
    fn snappy_that_declares_gigabytes_in_few_bytes_is_refused_without_allocating_them() {
        // The varint length 0xffffffff, then three bytes of nothing.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0, 0];
        assert_eq!(Compression::Snappy.decompress(&bomb, usize::MAX), Err(BatchError::CorruptCompression));
    }

    #[test]
    fn garbage_is_an_error_in_every_codec() {
        for codec in ALL.into_iter().skip(1) {
            assert!(codec.decompress(&[0x99; 40], 1 << 20).is_err(), "{codec:?}");
        }
    }
}
