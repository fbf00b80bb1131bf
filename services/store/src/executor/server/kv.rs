//! The KV service.

use super::{
    Api, Backend,
    api::{reply, unread},
};
use crate::planner::{check, command::Command, state::Reply};
use etcd_proto::{
    encoded::EncodedRangeResponse,
    etcdserverpb::{
        CompactionRequest, CompactionResponse, DeleteRangeRequest, DeleteRangeResponse, PutRequest,
        PutResponse, RangeRequest, TxnRequest, TxnResponse, kv_server::Kv,
    },
};
use tonic::{Request, Response, Status, async_trait};

#[async_trait]
impl<B: Backend> Kv for Api<B> {
    async fn range(
        &self,
        request: Request<RangeRequest>,
    ) -> Result<Response<EncodedRangeResponse>, Status> {
        self.admit(request.metadata(), request.get_ref().serializable)?;
        let request = request.into_inner();
        check::range(&request)?;
        if !request.serializable {
            self.linearize().await?;
        }
        let answer = self
            .backend
            .read(|state, records| state.range_encoded(&request, records));
        let mut response = answer.map_err(super::api::refused)?.map_err(unread)?;
        self.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn put(&self, request: Request<PutRequest>) -> Result<Response<PutResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        check::put(&request)?;
        let reply = self
            .change(&request, || Command::Put(request.clone()))
            .await?;
        reply!(self, Put, reply)
    }

    async fn delete_range(
        &self,
        request: Request<DeleteRangeRequest>,
    ) -> Result<Response<DeleteRangeResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        check::delete_range(&request)?;
        let command = || Command::DeleteRange(request.clone());
        let reply = self.change(&request, command).await?;
        reply!(self, DeleteRange, reply)
    }

    async fn txn(&self, request: Request<TxnRequest>) -> Result<Response<TxnResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        check::transaction(&request, self.limits.transaction_operations)?;
        if !check::is_read_only(&request) {
            let command = || Command::Transaction(request.clone());
            let reply = self.change(&request, command).await?;
            return reply!(self, Transaction, reply);
        }
        if !check::is_serializable(&request) {
            self.linearize().await?;
        }
        let answer = self
            .backend
            .read(|state, records| state.read_transaction(&request, records));
        let mut response = answer.map_err(super::api::refused)?.map_err(unread)?;
        self.complete(&mut response.header);
        Ok(Response::new(response))
    }

    async fn compact(
        &self,
        request: Request<CompactionRequest>,
    ) -> Result<Response<CompactionResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        let reply = self.change(&request, || Command::Compact(request)).await?;
        reply!(self, Compact, reply)
    }
}
