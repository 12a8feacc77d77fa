//! Calls of any bytes to any path, as no generated client makes them.

use bytes::{Buf as _, BufMut as _, Bytes};
use http::uri::PathAndQuery;
use prost::Message as _;
use tonic::Streaming;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

use super::*;

/// Every RPC of credd, as `SERVICE/METHOD`: each needs a caller.
pub fn rpcs() -> Vec<String> {
    let set = prost_types::FileDescriptorSet::decode(credd::proto::FILE_DESCRIPTOR_SET).unwrap();
    let files = set.file.iter();
    let services = files.flat_map(|file| &file.service);
    let rpcs = services.flat_map(|service| {
        let methods = service.method.iter();
        methods.map(|method| format!("{}/{}", service.name(), method.name()))
    });
    rpcs.collect()
}

/// Calls an RPC with one message of these bytes and closes the sending side;
/// returns the first message of the answer.
pub async fn call(channel: Channel, rpc: &str, request: Request<Bytes>) -> Result<Bytes, Status> {
    let (metadata, extensions, message) = request.into_parts();
    let requests = tokio_stream::once(message);
    let request = Request::from_parts(metadata, extensions, requests);
    let mut answers = stream(channel, rpc, request).await?;
    match answers.message().await? {
        Some(answer) => Ok(answer),
        None => Err(Status::data_loss("neither an answer nor an error")),
    }
}

/// Calls an RPC with these messages.
pub async fn stream(
    channel: Channel,
    rpc: &str,
    request: Request<impl tokio_stream::Stream<Item = Bytes> + Send + 'static>,
) -> Result<Streaming<Bytes>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = PathAndQuery::try_from(format!("/credd.v1.{rpc}")).unwrap();
    Ok(grpc.streaming(request, path, RawCodec).await?.into_inner())
}

/// Messages are their bytes.
#[derive(Clone, Copy, Default)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
