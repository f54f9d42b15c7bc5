//! Broker settings about authentication, authorisation and encryption. Pure data.

use crate::setting::{Setting, ValueType, boolean, class, double, int, list, long, short, string, unset};

/// SASL.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const SASL: &[Setting] = &[
    list("sasl.enabled.mechanisms", "GSSAPI", "The SASL mechanisms that clients may use.").per_broker(),
    string("sasl.mechanism.inter.broker.protocol", "GSSAPI", "The SASL mechanism between brokers.").per_broker(),
    string("sasl.mechanism.controller.protocol", "GSSAPI", "The SASL mechanism to controllers."),
    unset("sasl.jaas.config", ValueType::Password, "Credentials and users of a mechanism, in JAAS form.").per_broker(),
    unset("sasl.client.callback.handler.class", ValueType::Class, "A Java class; cannot be loaded here."),
    unset("sasl.server.callback.handler.class", ValueType::Class, "A Java class; cannot be loaded here."),
    unset("sasl.login.class", ValueType::Class, "A Java class; cannot be loaded here."),
    unset("sasl.login.callback.handler.class", ValueType::Class, "A Java class; cannot be loaded here."),
    unset("sasl.kerberos.service.name", ValueType::String, "The Kerberos name that brokers run as.").per_broker(),
    string("sasl.kerberos.kinit.cmd", "/usr/bin/kinit", "The path of kinit.").per_broker(),
    double("sasl.kerberos.ticket.renew.window.factor", "0.8", "When a ticket is renewed, as a share of its life.").per_broker(),
    double("sasl.kerberos.ticket.renew.jitter", "0.05", "How much that varies by chance.").per_broker(),
    long("sasl.kerberos.min.time.before.relogin", "60000", "The shortest time between two log-ins.").per_broker(),
    list("sasl.kerberos.principal.to.local.rules", "DEFAULT", "Rules that make user names of Kerberos principals.").per_broker(),
    double("sasl.login.refresh.window.factor", "0.8", "When a log-in is refreshed, as a share of its life.").real_between(0.5, 1.0).per_broker(),
    double("sasl.login.refresh.window.jitter", "0.05", "How much that varies by chance.").real_between(0.0, 0.25).per_broker(),
    short("sasl.login.refresh.min.period.seconds", "60", "The shortest time between two refreshes.").between(0, 900).per_broker(),
    short("sasl.login.refresh.buffer.seconds", "300", "How long before the end a refresh is made.").between(0, 3600).per_broker(),
    unset("sasl.login.connect.timeout.ms", ValueType::Int, "How long a connection to the identity provider may take."),
    unset("sasl.login.read.timeout.ms", ValueType::Int, "How long an answer of the identity provider may take."),
    long("sasl.login.retry.backoff.ms", "100", "The first pause after a failed log-in.").at_least(0),
    long("sasl.login.retry.backoff.max.ms", "10000", "The longest pause after a failed log-in.").at_least(0),
    int("sasl.server.max.receive.size", "524288", "The largest SASL message that is read.").at_least(1),
    unset("sasl.oauthbearer.token.endpoint.url", ValueType::String, "Where this broker gets its own tokens.").kip(768),
    unset("sasl.oauthbearer.jwks.endpoint.url", ValueType::String, "Where the keys that sign tokens are found.").kip(768),
    long("sasl.oauthbearer.jwks.endpoint.refresh.ms", "3600000", "How often those keys are read again.").at_least(0).kip(768),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.ms", "100", "The first pause after a failed read.").at_least(0).kip(768),
    long("sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms", "10000", "The longest pause after a failed read.").at_least(0).kip(768),
    unset("sasl.oauthbearer.expected.audience", ValueType::List, "The audiences that a token must be for; mandatory with a key endpoint.").kip(768),
    unset("sasl.oauthbearer.expected.issuer", ValueType::String, "The issuer that a token must be from; mandatory with a key endpoint.").kip(768),
    boolean("sasl.oauthbearer.allow.unverified.audience", "false", "Whether tokens for any audience are taken."),
    boolean("sasl.oauthbearer.allow.unverified.issuer", "false", "Whether tokens from any issuer are taken."),
    int("sasl.oauthbearer.clock.skew.seconds", "30", "How far the clocks of broker and identity provider may differ.").at_least(0).kip(768),
    string("sasl.oauthbearer.scope.claim.name", "scope", "The claim that holds the scope.").kip(768),
    string("sasl.oauthbearer.sub.claim.name", "sub", "The claim that holds the user.").kip(768),
    boolean("sasl.oauthbearer.header.urlencode", "false", "Whether client id and secret are URL-encoded.").kip(1025),
];

/// TLS.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const SSL: &[Setting] = &[
    string("ssl.client.auth", "none", "Whether clients must show a certificate.").one_of(&["required", "requested", "none"]).per_broker(),
    list("ssl.enabled.protocols", "TLSv1.2,TLSv1.3", "The TLS versions that are offered.").per_broker(),
    string("ssl.protocol", "TLSv1.3", "The TLS version that is preferred.").per_broker(),
    unset("ssl.provider", ValueType::String, "A Java security provider; has no meaning here.").per_broker(),
    list("ssl.cipher.suites", "", "The cipher suites that are offered; empty is all.").per_broker(),
    unset("ssl.keystore.location", ValueType::String, "The file of the broker's certificate and key.").per_broker(),
    string("ssl.keystore.type", "JKS", "The format of that file: JKS, PKCS12 or PEM.").per_broker(),
    unset("ssl.keystore.password", ValueType::Password, "The password of that file.").per_broker(),
    unset("ssl.key.password", ValueType::Password, "The password of the key.").per_broker(),
    unset("ssl.keystore.key", ValueType::Password, "The key itself, in PEM.").per_broker().kip(651),
    unset("ssl.keystore.certificate.chain", ValueType::Password, "The certificates themselves, in PEM.").per_broker().kip(651),
    unset("ssl.truststore.location", ValueType::String, "The file of certificates that are trusted.").per_broker(),
    string("ssl.truststore.type", "JKS", "The format of that file: JKS, PKCS12 or PEM.").per_broker(),
    unset("ssl.truststore.password", ValueType::Password, "The password of that file.").per_broker(),
    unset("ssl.truststore.certificates", ValueType::Password, "The trusted certificates themselves, in PEM.").per_broker().kip(651),
    string("ssl.keymanager.algorithm", "SunX509", "A Java algorithm; has no meaning here.").per_broker(),
    string("ssl.trustmanager.algorithm", "PKIX", "A Java algorithm; has no meaning here.").per_broker(),
    string("ssl.endpoint.identification.algorithm", "https", "Whether the names in certificates are checked; empty is no.").per_broker(),
    unset("ssl.secure.random.implementation", ValueType::String, "A Java random source; has no meaning here.").per_broker(),
    unset("ssl.engine.factory.class", ValueType::Class, "A Java class; cannot be loaded here.").per_broker(),
    string("ssl.principal.mapping.rules", "DEFAULT", "Rules that make user names of certificate subjects.").kip(371),
    boolean("ssl.allow.dn.changes", "false", "Whether a new certificate may have another subject.").kip(978),
    boolean("ssl.allow.san.changes", "false", "Whether a new certificate may have other names.").kip(978),
];

/// Authorisation and the rest.
#[rustfmt::skip] // A table is read by rows.
pub(crate) const AUTHORIZATION: &[Setting] = &[
    string("authorizer.class.name", "", "The authorizer; empty allows everything.").kip(801),
    string("super.users", "", "Principals that may do everything, separated by semicolons."),
    boolean("allow.everyone.if.no.acl.found", "false", "Whether a resource without ACLs is open to all."),
    class("principal.builder.class", "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder",
        "A Java class that makes principals; cannot be loaded here.").per_broker(),
    list("security.providers", "", "Java security providers; have no meaning here."),
    unset("delegation.token.secret.key", ValueType::Password, "The key that signs delegation tokens.").kip(48),
    long("delegation.token.max.lifetime.ms", "604800000", "How long a delegation token can live.").at_least(1).kip(48),
    long("delegation.token.expiry.time.ms", "86400000", "How long a delegation token lives before it must be renewed.").at_least(1).kip(48),
    long("delegation.token.expiry.check.interval.ms", "3600000", "How often expired tokens are looked for.").at_least(1).kip(48),
];
