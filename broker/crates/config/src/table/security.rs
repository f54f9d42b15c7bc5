//! Broker settings about authentication, authorisation and encryption. Pure data.

use super::reasons as why;
use crate::setting::{Setting, ValueType, boolean, class, double, int, list, long, short, string, unset};

/// Settings that begin with `sasl.`.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const SASL: &[Setting] = &[
    list("sasl.enabled.mechanisms", "GSSAPI", "The SASL mechanisms that clients may use.").per_broker().inert(why::SASL),
    string("sasl.mechanism.inter.broker.protocol", "GSSAPI", "The SASL mechanism between brokers.").per_broker().inert(why::SASL),
    string("sasl.mechanism.controller.protocol", "GSSAPI", "The SASL mechanism to controllers.").inert(why::SASL),
    unset("sasl.jaas.config", ValueType::Password, "Credentials and users of a mechanism, in JAAS form.").per_broker().refused(why::NO_SASL),
    unset("sasl.client.callback.handler.class", ValueType::Class, "A Java class.").refused(why::NO_SASL),
    unset("sasl.server.callback.handler.class", ValueType::Class, "A Java class.").refused(why::NO_SASL),
    unset("sasl.login.class", ValueType::Class, "A Java class.").refused(why::NO_SASL),
    unset("sasl.login.callback.handler.class", ValueType::Class, "A Java class.").refused(why::NO_SASL),
    unset("sasl.kerberos.service.name", ValueType::String, "The Kerberos name that brokers run as.").per_broker().refused(why::NO_SASL),
    string("sasl.kerberos.kinit.cmd", "/usr/bin/kinit", "The path of kinit.").per_broker().inert(why::SASL),
    double("sasl.kerberos.ticket.renew.window.factor", "0.8", "When a ticket is renewed, as a share of its life.").per_broker().inert(why::SASL),
    double("sasl.kerberos.ticket.renew.jitter", "0.05", "How much that varies by chance.").per_broker().inert(why::SASL),
    long("sasl.kerberos.min.time.before.relogin", "60000", "The shortest time between two log-ins.").per_broker().inert(why::SASL),
    list("sasl.kerberos.principal.to.local.rules", "DEFAULT", "Rules that make user names of Kerberos principals.").per_broker().inert(why::SASL),
    double("sasl.login.refresh.window.factor", "0.8", "When a log-in is refreshed, as a share of its life.").real_between(0.5, 1.0).per_broker().inert(why::SASL),
    double("sasl.login.refresh.window.jitter", "0.05", "How much that varies by chance.").real_between(0.0, 0.25).per_broker().inert(why::SASL),
    short("sasl.login.refresh.min.period.seconds", "60", "The shortest time between two refreshes.").between(0, 900).per_broker().inert(why::SASL),
    short("sasl.login.refresh.buffer.seconds", "300", "How long before the end a refresh is made.").between(0, 3600).per_broker().inert(why::SASL),
    unset("sasl.login.connect.timeout.ms", ValueType::Int, "How long a connection to the identity provider may take.").inert(why::SASL),
    unset("sasl.login.read.timeout.ms", ValueType::Int, "How long an answer of the identity provider may take.").inert(why::SASL),
    long("sasl.login.retry.backoff.ms", "100", "The first pause after a failed log-in.").at_least(0).inert(why::SASL),
    long("sasl.login.retry.backoff.max.ms", "10000", "The longest pause after a failed log-in.").at_least(0).inert(why::SASL),
    int("sasl.server.max.receive.size", "524288", "The largest SASL message that is read.").at_least(1).inert(why::SASL),
    unset("sasl.oauthbearer.token.endpoint.url", ValueType::String, "Where this broker gets its own tokens.").kip(768).refused(why::NO_SASL),
    unset("sasl.oauthbearer.jwks.endpoint.url", ValueType::String, "Where the keys that sign tokens are found.").kip(768).refused(why::NO_SASL),
    long("sasl.oauthbearer.jwks.endpoint.refresh.ms", "3600000", "How often those keys are read again.").at_least(0).kip(768).inert(why::SASL),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "100", "The first pause after a failed read.").at_least(0).kip(768).inert(why::SASL),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "10000", "The longest pause after a failed read.").at_least(0).kip(768).inert(why::SASL),
    unset("sasl.oauthbearer.expected.audience", ValueType::List, "The audiences that a token must be for; mandatory with a key endpoint.").kip(768).refused(why::NO_SASL),
    unset("sasl.oauthbearer.expected.issuer", ValueType::String, "The issuer that a token must be from; mandatory with a key endpoint.").kip(768).refused(why::NO_SASL),
    boolean("sasl.oauthbearer.allow.unverified.audience", "false", "Whether tokens for any audience are taken.").inert(why::SASL),
    boolean("sasl.oauthbearer.allow.unverified.issuer", "false", "Whether tokens from any issuer are taken.").inert(why::SASL),
    int("sasl.oauthbearer.clock.skew.seconds", "30", "How far the clocks of broker and identity provider may differ.").at_least(0).kip(768).inert(why::SASL),
    string("sasl.oauthbearer.scope.claim.name", "scope", "The claim that holds the scope.").kip(768).inert(why::SASL),
    string("sasl.oauthbearer.sub.claim.name", "sub", "The claim that holds the user.").kip(768).inert(why::SASL),
    boolean("sasl.oauthbearer.header.urlencode", "false", "Whether client id and secret are URL-encoded.").kip(1025).inert(why::SASL),
];

/// TLS.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const SSL: &[Setting] = &[
    string("ssl.client.auth", "none", "Whether clients must show a certificate.").one_of(&["required", "requested", "none"]).per_broker().refused(why::NO_TLS),
    list("ssl.enabled.protocols", "TLSv1.2,TLSv1.3", "The TLS versions that are offered.").per_broker().inert(why::TLS),
    string("ssl.protocol", "TLSv1.3", "The TLS version that is preferred.").per_broker().inert(why::TLS),
    unset("ssl.provider", ValueType::String, "A Java security provider.").per_broker().inert(why::TLS),
    list("ssl.cipher.suites", "", "The cipher suites that are offered; empty is all.").per_broker().inert(why::TLS),
    unset("ssl.keystore.location", ValueType::String, "The file of the broker's certificate and key.").per_broker().refused(why::NO_TLS),
    string("ssl.keystore.type", "JKS", "The format of that file: JKS, PKCS12 or PEM.").per_broker().inert(why::TLS),
    unset("ssl.keystore.password", ValueType::Password, "The password of that file.").per_broker().inert(why::TLS),
    unset("ssl.key.password", ValueType::Password, "The password of the key.").per_broker().inert(why::TLS),
    unset("ssl.keystore.key", ValueType::Password, "The key itself, in PEM.").per_broker().kip(651).refused(why::NO_TLS),
    unset("ssl.keystore.certificate.chain", ValueType::Password, "The certificates themselves, in PEM.").per_broker().kip(651).refused(why::NO_TLS),
    unset("ssl.truststore.location", ValueType::String, "The file of certificates that are trusted.").per_broker().refused(why::NO_TLS),
    string("ssl.truststore.type", "JKS", "The format of that file: JKS, PKCS12 or PEM.").per_broker().inert(why::TLS),
    unset("ssl.truststore.password", ValueType::Password, "The password of that file.").per_broker().inert(why::TLS),
    unset("ssl.truststore.certificates", ValueType::Password, "The trusted certificates themselves, in PEM.").per_broker().kip(651).refused(why::NO_TLS),
    string("ssl.keymanager.algorithm", "SunX509", "A Java algorithm.").per_broker().inert(why::TLS),
    string("ssl.trustmanager.algorithm", "PKIX", "A Java algorithm.").per_broker().inert(why::TLS),
    string("ssl.endpoint.identification.algorithm", "https", "Whether the names in certificates are checked; empty is no.").per_broker().inert(why::TLS),
    unset("ssl.secure.random.implementation", ValueType::String, "A Java random source.").per_broker().inert(why::TLS),
    unset("ssl.engine.factory.class", ValueType::Class, "A Java class.").per_broker().refused(why::NO_TLS),
    string("ssl.principal.mapping.rules", "DEFAULT", "Rules that make user names of certificate subjects.").kip(371).inert(why::TLS),
    boolean("ssl.allow.dn.changes", "false", "Whether a new certificate may have another subject.").kip(978).inert(why::TLS),
    boolean("ssl.allow.san.changes", "false", "Whether a new certificate may have other names.").kip(978).inert(why::TLS),
];

/// Authorisation and the rest.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const AUTHORIZATION: &[Setting] = &[
    string("authorizer.class.name", "", "The authorizer; empty allows everything.").kip(801).refused(why::NO_AUTHORIZER),
    string("super.users", "", "Principals that may do everything, separated by semicolons.").refused(why::NO_AUTHORIZER),
    boolean("allow.everyone.if.no.acl.found", "false", "Whether a resource without ACLs is open to all.").inert(why::AUTHORIZER),
    class("principal.builder.class", "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
        "A Java class that makes principals.").per_broker().refused(why::NO_PLUGINS),
    list("security.providers", "", "Java security providers; have no meaning here.").refused(why::NO_PLUGINS),
    unset("delegation.token.secret.key", ValueType::Password, "The key that signs delegation tokens.").kip(48).refused(why::NO_TOKENS),
    long("delegation.token.max.lifetime.ms", "604800000", "How long a delegation token can live.").at_least(1).kip(48).inert(why::TOKENS),
    long("delegation.token.expiry.time.ms", "86400000", "How long a delegation token lives before it must be renewed.").at_least(1).kip(48).inert(why::TOKENS),
    long("delegation.token.expiry.check.interval.ms", "3600000", "How often expired tokens are looked for.").at_least(1).kip(48).inert(why::TOKENS),
];
