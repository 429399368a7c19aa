//! The contract in `wit/`, as the component sees it. Generated; the only place where generated code is let in.
//!
//! Values are the domain's own, made and read where they lie: one that has another shape there does not compile.

wit_bindgen::generate!({
    path: "../wit",
    world: "standin",
    with: {
        "standin:obo/types@0.1.0": standin_domain::contract,
        "standin:obo/decision-point@0.1.0/judge-error": standin_domain::contract::JudgeError,
        "standin:obo/keys@0.1.0/key-error": standin_domain::contract::KeyError,
        "standin:obo/keys@0.1.0/key-source": standin_domain::contract::KeySource,
        "standin:obo/keys@0.1.0/purpose": standin_domain::contract::Purpose,
        "standin:obo/keys@0.1.0/verified": standin_domain::contract::Verified,
        "standin:obo/directory@0.1.0/account": standin_domain::contract::Account,
        "standin:obo/directory@0.1.0/account-key": standin_domain::contract::AccountKey,
        "standin:obo/directory@0.1.0/api-key": standin_domain::contract::ApiKey,
        "standin:obo/directory@0.1.0/directory-error": standin_domain::contract::DirectoryError,
        "standin:obo/directory@0.1.0/machine": standin_domain::contract::Machine,
        "standin:obo/directory@0.1.0/machine-key": standin_domain::contract::MachineKey,
        "standin:obo/directory@0.1.0/state": standin_domain::contract::State,
        "standin:obo/directory@0.1.0/user": standin_domain::contract::User,
        "standin:obo/directory@0.1.0/user-key": standin_domain::contract::UserKey,
        "standin:obo/registry@0.1.0/audience": standin_domain::contract::Audience,
        "standin:obo/registry@0.1.0/client": standin_domain::contract::Client,
        "standin:obo/registry@0.1.0/issuer": standin_domain::contract::Issuer,
        "standin:obo/registry@0.1.0/issuer-role": standin_domain::contract::IssuerRole,
        "standin:obo/registry@0.1.0/scope-mode": standin_domain::contract::ScopeMode,
        "standin:obo/registry@0.1.0/step": standin_domain::contract::Step,
        "standin:obo/registry@0.1.0/subject-kind": standin_domain::contract::SubjectKind,
        "standin:obo/registry@0.1.0/subject-mapping": standin_domain::contract::SubjectMapping,
        "standin:obo/registry@0.1.0/system": standin_domain::contract::System,
        "standin:obo/endpoint@0.1.0/http-request": standin_domain::contract::HttpRequest,
        "standin:obo/endpoint@0.1.0/http-response": standin_domain::contract::HttpResponse,
    },
});
