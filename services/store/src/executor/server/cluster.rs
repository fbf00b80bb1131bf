//! The Cluster service.

use super::{Api, Backend, api::refused};
use crate::executor::member::MemberInfo;
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{
        Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
        MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
        MemberUpdateRequest, MemberUpdateResponse, cluster_server::Cluster,
    },
};
use tonic::{Request, Response, Status, async_trait};
use url::Url;

fn on_wire(member: MemberInfo) -> Member {
    Member {
        id: member.id,
        name: member.name,
        peer_urls: member.peer_urls,
        client_urls: member.client_urls,
        is_learner: member.is_learner,
    }
}

fn all_on_wire(members: Vec<MemberInfo>) -> Vec<Member> {
    members.into_iter().map(on_wire).collect()
}

/// Refuses what is no list of peer URLs: scheme, host and port, nothing else (etcd: `types.NewURLs`).
fn check_urls(urls: &[String]) -> Result<(), Refusal> {
    let good = |url: &String| {
        Url::parse(url).is_ok_and(|url| {
            matches!(url.scheme(), "http" | "https")
                && url.port_or_known_default().is_some()
                && matches!(url.path(), "" | "/")
        })
    };
    let all = !urls.is_empty() && urls.iter().all(good);
    all.then_some(()).ok_or(Refusal::MemberBadUrls)
}

#[async_trait]
impl<B: Backend> Cluster for Api<B> {
    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        check_urls(&request.peer_urls)?;
        let added = self
            .backend
            .add_member(request.peer_urls, request.is_learner);
        let (member, members) = added.await.map_err(refused)?;
        Ok(Response::new(MemberAddResponse {
            header: self.header_of_members(),
            member: Some(on_wire(member)),
            members: all_on_wire(members),
        }))
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let members = self.backend.remove_member(request.into_inner().id).await;
        Ok(Response::new(MemberRemoveResponse {
            header: self.header_of_members(),
            members: all_on_wire(members.map_err(refused)?),
        }))
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let request = request.into_inner();
        check_urls(&request.peer_urls)?;
        let members = self
            .backend
            .update_member(request.id, request.peer_urls)
            .await;
        Ok(Response::new(MemberUpdateResponse {
            header: self.header_of_members(),
            members: all_on_wire(members.map_err(refused)?),
        }))
    }

    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        self.admit(request.metadata(), false)?;
        if request.get_ref().linearizable {
            self.linearize().await?;
        }
        Ok(Response::new(MemberListResponse {
            header: self.header_of_members(),
            members: all_on_wire(self.backend.members()),
        }))
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        self.admit(request.metadata(), false)?;
        let members = self.backend.promote_member(request.into_inner().id).await;
        Ok(Response::new(MemberPromoteResponse {
            header: self.header_of_members(),
            members: all_on_wire(members.map_err(refused)?),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_urls() {
        let check = |urls: &[&str], good: bool| {
            let urls: Vec<_> = urls.iter().map(|&url| url.to_owned()).collect();
            let expect = if good {
                Ok(())
            } else {
                Err(Refusal::MemberBadUrls)
            };
            assert_eq!(check_urls(&urls), expect, "{urls:?}");
        };
        check(&["http://127.0.0.1:2380"], true);
        check(&["https://a.example:2380", "https://[::1]:2380"], true);
        check(&[], false);
        check(&["127.0.0.1:2380"], false);
        check(&["ftp://127.0.0.1:2380"], false);
        check(&["http://127.0.0.1:2380/path"], false);
        check(&["http://127.0.0.1:2380", ""], false);
    }
}
