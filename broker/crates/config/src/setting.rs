//! What one row of the settings table says.
//!
//! Owns: the shape of a row and the `const` builders that write it. Does no I/O.
//! Invariant, kept by a test: every default passes its own row's check.

/// The type of a setting's value, as DescribeConfigs names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    /// `true` or `false`.
    Boolean,
    /// Free text.
    String,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 16 bits.
    Short,
    /// A whole number of 64 bits.
    Long,
    /// A decimal number.
    Double,
    /// Texts separated by commas.
    List,
    /// The name of a Java class; kept as text.
    Class,
    /// A secret; never shown.
    Password,
}

impl ValueType {
    /// The code in DescribeConfigs answers (KIP-569).
    pub const fn code(self) -> i8 {
        match self {
            ValueType::Boolean => 1,
            ValueType::String => 2,
            ValueType::Int => 3,
            ValueType::Short => 4,
            ValueType::Long => 5,
            ValueType::Double => 6,
            ValueType::List => 7,
            ValueType::Class => 8,
            ValueType::Password => 9,
        }
    }

    /// The word that Kafka's tools print.
    pub const fn name(self) -> &'static str {
        match self {
            ValueType::Boolean => "BOOLEAN",
            ValueType::String => "STRING",
            ValueType::Int => "INT",
            ValueType::Short => "SHORT",
            ValueType::Long => "LONG",
            ValueType::Double => "DOUBLE",
            ValueType::List => "LIST",
            ValueType::Class => "CLASS",
            ValueType::Password => "PASSWORD",
        }
    }
}

/// Which values of the right type a setting takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Check {
    /// All of them.
    Any,
    /// Whole numbers from `min` to `max`, both inclusive.
    Range {
        /// The smallest value.
        min: i64,
        /// The largest value; `i64::MAX` is said as "no upper limit".
        max: i64,
    },
    /// Decimal numbers from `min` to `max`, both inclusive.
    RealRange {
        /// The smallest value.
        min: f64,
        /// The largest value.
        max: f64,
    },
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// A list of these words; it may be empty.
    EachOf(&'static [&'static str]),
    /// A list or text with something in it.
    NonEmpty,
    /// -1 (the library's choice) or 1 to 9.
    GzipLevel,
    /// `*`, or `partition:broker` pairs (KIP-73).
    ThrottledReplicas,
    /// `host:limit` pairs.
    ConnectionOverrides,
    /// Listeners as `NAME://host:port`.
    Listeners,
    /// `LISTENER:PROTOCOL` pairs.
    ProtocolMap,
    /// Voters as `id@host:port`.
    Voters,
    /// Servers as `host:port`.
    Servers,
}

/// How a setting may be changed while the broker runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Update {
    /// Per topic.
    Topic,
    /// Per consumer or share group.
    Group,
    /// By the file only; a change needs a restart.
    Static,
    /// Dynamically for one broker.
    PerBroker,
    /// Dynamically for one broker or for all at once.
    ClusterWide,
}

/// What becomes of a setting. Kafka's default asks for nothing, so it is always taken without a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It works as described.
    Works,
    /// It is accepted, kept and shown, and changes nothing; a warning says so. Neither data nor protection are at stake.
    Inert {
        /// What happens instead.
        instead: &'static str,
    },
    /// It asks for something that is not there and must not be missed unnoticed.
    Refused {
        /// What is missing, and what to do.
        advice: &'static str,
    },
}

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Apache Kafka's configuration reference.
    Kafka,
    /// A Kafka improvement proposal.
    Kip(u16),
    /// Ottla's own.
    Ottla,
}

/// One setting.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    /// The name that users write.
    pub name: &'static str,
    /// The type of its value.
    pub value_type: ValueType,
    /// The value when nobody set one, as text; `None` is Kafka's null.
    pub default: Option<&'static str>,
    /// Which values it takes.
    pub check: Check,
    /// How it is changed.
    pub update: Update,
    /// What it does, in one sentence.
    pub about: &'static str,
    /// Where it is specified.
    pub origin: Origin,
    /// Broker settings that stand in for this one when it is unset, strongest first.
    pub synonyms: &'static [&'static str],
    /// Whether it does anything.
    pub effect: Effect,
    /// Whether its value is hidden.
    pub sensitive: bool,
    /// Whether DescribeConfigs leaves it out (Kafka's `internal.` names).
    pub internal: bool,
}

impl Setting {
    const fn new(
        name: &'static str,
        value_type: ValueType,
        default: Option<&'static str>,
        about: &'static str,
    ) -> Setting {
        Setting {
            name,
            value_type,
            default,
            check: Check::Any,
            update: Update::Static,
            about,
            origin: Origin::Kafka,
            synonyms: &[],
            effect: Effect::Inert { instead: "" },
            sensitive: matches!(value_type, ValueType::Password),
            internal: false,
        }
    }

    /// Whether DescribeConfigs calls it read-only: it needs a restart.
    pub const fn is_read_only(&self) -> bool {
        matches!(self.update, Update::Static)
    }

    pub(crate) const fn check(mut self, check: Check) -> Setting {
        self.check = check;
        self
    }

    pub(crate) const fn at_least(self, min: i64) -> Setting {
        self.check(Check::Range { min, max: i64::MAX })
    }

    pub(crate) const fn between(self, min: i64, max: i64) -> Setting {
        self.check(Check::Range { min, max })
    }

    pub(crate) const fn real_between(self, min: f64, max: f64) -> Setting {
        self.check(Check::RealRange { min, max })
    }

    pub(crate) const fn one_of(self, words: &'static [&'static str]) -> Setting {
        self.check(Check::OneOf(words))
    }

    pub(crate) const fn each_of(self, words: &'static [&'static str]) -> Setting {
        self.check(Check::EachOf(words))
    }

    pub(crate) const fn synonyms(mut self, synonyms: &'static [&'static str]) -> Setting {
        self.synonyms = synonyms;
        self
    }

    pub(crate) const fn kip(mut self, number: u16) -> Setting {
        self.origin = Origin::Kip(number);
        self
    }

    pub(crate) const fn ottla(mut self) -> Setting {
        self.origin = Origin::Ottla;
        self
    }

    const fn effect(mut self, effect: Effect) -> Setting {
        self.effect = effect;
        self
    }

    pub(crate) const fn works(self) -> Setting {
        self.effect(Effect::Works)
    }

    pub(crate) const fn inert(self, instead: &'static str) -> Setting {
        self.effect(Effect::Inert { instead })
    }

    pub(crate) const fn refused(self, advice: &'static str) -> Setting {
        self.effect(Effect::Refused { advice })
    }

    pub(crate) const fn update(mut self, update: Update) -> Setting {
        self.update = update;
        self
    }

    pub(crate) const fn cluster_wide(self) -> Setting {
        self.update(Update::ClusterWide)
    }

    pub(crate) const fn per_broker(self) -> Setting {
        self.update(Update::PerBroker)
    }

    pub(crate) const fn internal(mut self) -> Setting {
        self.internal = true;
        self
    }
}

/// A setting whose unset value is null.
pub(crate) const fn unset(name: &'static str, value_type: ValueType, about: &'static str) -> Setting {
    Setting::new(name, value_type, None, about)
}

pub(crate) const fn boolean(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting::new(name, ValueType::Boolean, Some(default), about)
}

pub(crate) const fn string(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting::new(name, ValueType::String, Some(default), about)
}

pub(crate) const fn int(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting::new(name, ValueType::Int, Some(default), about)
}

pub(crate) const fn short(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting::new(name, ValueType::Short, Some(default), about)
}

pub(crate) const fn long(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting::new(name, ValueType::Long, Some(default), about)
}

pub(crate) const fn double(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting::new(name, ValueType::Double, Some(default), about)
}

pub(crate) const fn list(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting::new(name, ValueType::List, Some(default), about)
}

pub(crate) const fn class(name: &'static str, default: &'static str, about: &'static str) -> Setting {
    Setting::new(name, ValueType::Class, Some(default), about)
}
