//! The Auth service: authentication here is by certificate, so etcd's own is never enabled.

use super::{Api, Backend};
use etcd_proto::{
    errors::Refusal,
    etcdserverpb::{self as pb, auth_server::Auth},
};
use tonic::{Request, Response, Status, async_trait};

/// Implements the service: what asks for the state of authentication is told, everything else is refused.
macro_rules! not_enabled {
    ($($method:ident $request:ident $response:ident,)*) => {
        #[async_trait]
        impl<B: Backend> Auth for Api<B> {
            async fn auth_status(
                &self,
                _request: Request<pb::AuthStatusRequest>,
            ) -> Result<Response<pb::AuthStatusResponse>, Status> {
                Ok(Response::new(pb::AuthStatusResponse {
                    header: self.header(),
                    enabled: false,
                    // etcd's first, as nothing ever changes it.
                    auth_revision: 1,
                }))
            }
            $(
                async fn $method(
                    &self,
                    _request: Request<pb::$request>,
                ) -> Result<Response<pb::$response>, Status> {
                    Err(Refusal::AuthNotEnabled.into())
                }
            )*
        }
    };
}

not_enabled! {
    auth_enable AuthEnableRequest AuthEnableResponse,
    auth_disable AuthDisableRequest AuthDisableResponse,
    authenticate AuthenticateRequest AuthenticateResponse,
    user_add AuthUserAddRequest AuthUserAddResponse,
    user_get AuthUserGetRequest AuthUserGetResponse,
    user_list AuthUserListRequest AuthUserListResponse,
    user_delete AuthUserDeleteRequest AuthUserDeleteResponse,
    user_change_password AuthUserChangePasswordRequest AuthUserChangePasswordResponse,
    user_grant_role AuthUserGrantRoleRequest AuthUserGrantRoleResponse,
    user_revoke_role AuthUserRevokeRoleRequest AuthUserRevokeRoleResponse,
    role_add AuthRoleAddRequest AuthRoleAddResponse,
    role_get AuthRoleGetRequest AuthRoleGetResponse,
    role_list AuthRoleListRequest AuthRoleListResponse,
    role_delete AuthRoleDeleteRequest AuthRoleDeleteResponse,
    role_grant_permission AuthRoleGrantPermissionRequest AuthRoleGrantPermissionResponse,
    role_revoke_permission AuthRoleRevokePermissionRequest AuthRoleRevokePermissionResponse,
}
