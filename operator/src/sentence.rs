//! Errors as sentences for people: what the API server said, without the types around it. Pure.

/// What an error and its causes say, the outermost first.
pub fn sentence(error: &anyhow::Error) -> String {
    let mut said = vec![];
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<kube::Error>() {
            // Its causes say the same once more.
            said.push(of_kube(error));
            break;
        }
        said.push(cause.to_string());
    }
    said.join(": ")
}

/// What the API server said, or why nothing could be asked of it.
pub fn of_kube(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) if !status.message.is_empty() => status.message.clone(),
        kube::Error::Api(status) => format!("the API server answers {} {}", status.code, status.reason),
        other => format!("the API server cannot be asked: {other}"),
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use kube::core::Status;

    use super::*;

    #[test]
    fn what_the_api_server_says_is_told_without_rusts_types() {
        let status = Status::failure("exceeded quota: small", "Forbidden").with_code(403).boxed();
        let failed: Result<(), _> = Err(kube::Error::Api(status));
        let error = failed.context("apply StatefulSet demo-broker").expect_err("it failed");
        assert_eq!(sentence(&error), "apply StatefulSet demo-broker: exceeded quota: small");
    }
}
