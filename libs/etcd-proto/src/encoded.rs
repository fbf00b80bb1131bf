//! Answers that are made of pairs which are encoded already.

use crate::etcdserverpb::ResponseHeader;
use bytes::Bytes;

/// A `RangeResponse` for who has each pair as the bytes of a `KeyValue`: on the wire, a message within a message and bytes
/// are the same. Servers answer ranges with it; nobody needs to take ten thousand pairs apart to put them together again.
///
/// ```
/// use orlop_etcd_proto::{encoded::EncodedRangeResponse, etcdserverpb::RangeResponse, mvccpb::KeyValue, prost::Message};
/// let pair = KeyValue { key: "a".into(), ..KeyValue::default() };
/// let encoded = EncodedRangeResponse {
///     kvs: vec![pair.encode_to_vec().into()],
///     count: 1,
///     ..EncodedRangeResponse::default()
/// };
/// let decoded = RangeResponse::decode(encoded.encode_to_vec().as_slice())?;
/// assert_eq!((decoded.kvs, decoded.count), (vec![pair], 1));
/// # Ok::<(), orlop_etcd_proto::prost::DecodeError>(())
/// ```
#[derive(Clone, PartialEq, prost::Message)]
pub struct EncodedRangeResponse {
    /// Who answered, and when.
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Each a `KeyValue`.
    #[prost(bytes = "bytes", repeated, tag = "2")]
    pub kvs: Vec<Bytes>,
    /// There are more than the limit let through.
    #[prost(bool, tag = "3")]
    pub more: bool,
    /// Pairs in the range, whatever the limit.
    #[prost(int64, tag = "4")]
    pub count: i64,
}
