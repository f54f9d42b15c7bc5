//! What members and the offsets topic hold: reading never panics, whichever schema is tried.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ottla_broker_protocol::messages::consumer_protocol_assignment::ConsumerProtocolAssignment;
use ottla_broker_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscription;
use ottla_broker_protocol::messages::group_metadata_key::GroupMetadataKey;
use ottla_broker_protocol::messages::group_metadata_value::GroupMetadataValue;
use ottla_broker_protocol::messages::offset_commit_key::OffsetCommitKey;
use ottla_broker_protocol::messages::offset_commit_value::OffsetCommitValue;
use ottla_broker_protocol::persisted::{decode_versioned, decode_versioned_lenient};

fuzz_target!(|data: &[u8]| {
    let _ = decode_versioned_lenient::<ConsumerProtocolSubscription<'_>>(data);
    let _ = decode_versioned_lenient::<ConsumerProtocolAssignment<'_>>(data);
    let _ = decode_versioned::<OffsetCommitKey<'_>>(data);
    let _ = decode_versioned::<OffsetCommitValue<'_>>(data);
    let _ = decode_versioned::<GroupMetadataKey<'_>>(data);
    let _ = decode_versioned::<GroupMetadataValue<'_>>(data);
});
