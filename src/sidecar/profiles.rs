//! Passing on which profiles there are, so that who follows a sidecar learns in which
//! headers credentials stand.
//!
//! Of `DirectoryService` a sidecar serves `ListProfiles` alone, by asking its authority
//! as itself: whoever reaches it sees the profiles that its own token lets it read, and
//! nothing more of what is configured.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic_prost::ProstCodec;
use tower::{Service, service_fn};

use super::cells::Cells;
use crate::proto::v1;
use crate::proto::v1::directory_service_server::SERVICE_NAME;
use crate::rpc::verification::MESSAGE_BYTES;

/// The service.
#[derive(Clone, Debug)]
pub struct Profiles {
    cells: Cells,
}

const LIST: &str = "/credd.v1.DirectoryService/ListProfiles";

impl Profiles {
    /// Lists those that a cell lets this process read: where there are several, those of
    /// a tenant that is named.
    #[must_use]
    pub const fn new(cells: Cells) -> Self {
        Self { cells }
    }
}

impl NamedService for Profiles {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<Request<Body>> for Profiles {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let cells = self.cells.clone();
        Box::pin(async move {
            if request.uri().path() != LIST {
                let status = Status::unimplemented("a sidecar does not serve this");
                return Ok(status.into_http());
            }
            let list = service_fn(|request: tonic::Request<v1::ListProfilesRequest>| {
                let cells = cells.clone();
                async move {
                    let request = request.into_inner();
                    let named = Some(request.tenant.as_str()).filter(|tenant| !tenant.is_empty());
                    let cell = cells.of_all("tenant", named)?;
                    let listed = cell.client.list_profiles(request).await?;
                    Ok(tonic::Response::new(listed))
                }
            });
            let codec = ProstCodec::<v1::ListProfilesResponse, v1::ListProfilesRequest>::default();
            let grpc = Grpc::new(codec);
            let mut grpc = grpc.apply_max_message_size_config(Some(MESSAGE_BYTES), None);
            Ok(grpc.unary(list, request).await)
        })
    }
}
