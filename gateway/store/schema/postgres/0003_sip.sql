-- expand
-- SIP domains, who may use them, and where their phones are.

CREATE TABLE sip_domains (
    sid TEXT COLLATE "C" PRIMARY KEY,
    account_sid TEXT COLLATE "C" NOT NULL,
    domain_name TEXT COLLATE "C" NOT NULL UNIQUE, -- small letters
    friendly_name TEXT COLLATE "C" NOT NULL,
    settings TEXT COLLATE "C" NOT NULL,           -- JSON: voice_url voice_method … as REST shows them
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE credential_lists (
    sid TEXT COLLATE "C" PRIMARY KEY,
    account_sid TEXT COLLATE "C" NOT NULL,
    friendly_name TEXT COLLATE "C" NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE credentials (
    sid TEXT COLLATE "C" PRIMARY KEY,
    account_sid TEXT COLLATE "C" NOT NULL,
    credential_list_sid TEXT COLLATE "C" NOT NULL,
    username TEXT COLLATE "C" NOT NULL,
    hashes TEXT COLLATE "C" NOT NULL,             -- JSON: HA1 by algorithm; passwords are not kept
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (credential_list_sid, username)
);

CREATE TABLE ip_access_control_lists (
    sid TEXT COLLATE "C" PRIMARY KEY,
    account_sid TEXT COLLATE "C" NOT NULL,
    friendly_name TEXT COLLATE "C" NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL
);

CREATE TABLE ip_addresses (
    sid TEXT COLLATE "C" PRIMARY KEY,
    account_sid TEXT COLLATE "C" NOT NULL,
    ip_access_control_list_sid TEXT COLLATE "C" NOT NULL,
    friendly_name TEXT COLLATE "C" NOT NULL,
    ip_address TEXT COLLATE "C" NOT NULL,
    cidr_prefix_length BIGINT NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL,
    UNIQUE (ip_access_control_list_sid, ip_address, cidr_prefix_length)
);

-- Which lists a domain asks; `sid` is the list's.
CREATE TABLE sip_mappings (
    domain_sid TEXT COLLATE "C" NOT NULL,
    purpose TEXT COLLATE "C" NOT NULL,            -- 'calls' | 'registrations'
    sid TEXT COLLATE "C" NOT NULL,
    account_sid TEXT COLLATE "C" NOT NULL,
    date_created DOUBLE PRECISION NOT NULL,
    date_updated DOUBLE PRECISION NOT NULL,
    version BIGINT NOT NULL,
    PRIMARY KEY (domain_sid, purpose, sid)
);

-- Where a domain's users can be reached.
CREATE TABLE sip_bindings (
    aor TEXT COLLATE "C" NOT NULL,                -- the address-of-record
    id TEXT COLLATE "C" NOT NULL,                 -- the binding among those of its address-of-record
    account_sid TEXT COLLATE "C" NOT NULL,
    expires_at DOUBLE PRECISION NOT NULL,
    binding TEXT COLLATE "C" NOT NULL,            -- JSON, as protocols/sip/binding.py has it
    PRIMARY KEY (aor, id)
);
CREATE INDEX sip_bindings_by_account ON sip_bindings (account_sid);
