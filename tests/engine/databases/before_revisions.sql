BEGIN TRANSACTION;
CREATE TABLE account (
	sid VARCHAR(36) NOT NULL, 
	login VARCHAR(255) NOT NULL, 
	password_hash VARCHAR(255) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	url TEXT, 
	method VARCHAR(8) NOT NULL, 
	error_handler VARCHAR(16) NOT NULL, 
	fallback_url TEXT, 
	caller_ids JSON NOT NULL, 
	detector VARCHAR(16) DEFAULT '' NOT NULL, 
	no_answer VARCHAR(16) DEFAULT 'noanswer' NOT NULL, 
	sms_route TEXT DEFAULT '' NOT NULL, 
	created DOUBLE DEFAULT '0' NOT NULL, 
	configured JSON, 
	PRIMARY KEY (sid), 
	UNIQUE (login)
);
INSERT INTO "account" VALUES('31337b50-34f5-4077-8cd7-3fdc567be803','demo','scrypt$16384$8$1$293ece1fabb4ffd1b03d749ab68f32d4$c43c5b2d7d09d8b8384e68322bf35fa10d1a1193a0a2ba11523020025c456eaa','Démo','http://a/','POST','basic',NULL,'["1", "2"]','','noanswer','',0.0,'{"login": "demo", "name": "D\u00e9mo", "url": "http://a/", "method": "POST", "error_handler": "basic", "fallback_url": null, "caller_ids": ["1", "2"], "detector": "", "no_answer": "noanswer", "sms_route": ""}');
CREATE TABLE call (
	sid VARCHAR(36) NOT NULL, 
	account VARCHAR(36) NOT NULL, 
	direction VARCHAR(16) NOT NULL, 
	from_number TEXT NOT NULL, 
	to_number TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	started DOUBLE NOT NULL, 
	created DOUBLE DEFAULT '0' NOT NULL, 
	due DOUBLE, 
	answered DOUBLE, 
	ended DOUBLE, 
	status VARCHAR(32) NOT NULL, 
	duration_s INTEGER NOT NULL, 
	callback JSON, 
	"order" JSON, 
	PRIMARY KEY (sid)
);
INSERT INTO "call" VALUES('11111111-1111-4111-8111-111111111111','31337b50-34f5-4077-8cd7-3fdc567be803','inbound','1','15162065337','ended',1.5,0.0,NULL,2.0,9.0,'completed',7,'null','null');
CREATE TABLE callback (
	sid VARCHAR(36) NOT NULL, 
	url TEXT NOT NULL, 
	method VARCHAR(8) NOT NULL, 
	data JSON NOT NULL, 
	created DOUBLE NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	attempts INTEGER NOT NULL, 
	error TEXT NOT NULL, 
	PRIMARY KEY (sid)
);
INSERT INTO "callback" VALUES('22222222-2222-4222-8222-222222222222','http://a/status','POST','{"\u00dc": [1, null, true]}',3.0,'pending',0,'');
CREATE TABLE container (
	sid VARCHAR(36) NOT NULL, 
	account VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	quota_bytes BIGINT, 
	default_of VARCHAR(36), 
	created DOUBLE NOT NULL, 
	updated DOUBLE NOT NULL, 
	PRIMARY KEY (sid), 
	UNIQUE (default_of)
);
CREATE TABLE did (
	sid VARCHAR(36) NOT NULL, 
	phonenumber VARCHAR(64) NOT NULL, 
	account VARCHAR(36) NOT NULL, 
	url TEXT, 
	method VARCHAR(8) NOT NULL, 
	status_callback_url TEXT, 
	status_callback_method VARCHAR(8) NOT NULL, 
	fallback_url TEXT, 
	country_code VARCHAR(3), 
	in_country_format VARCHAR(64) DEFAULT '' NOT NULL, 
	international_format VARCHAR(64) DEFAULT '' NOT NULL, 
	configured JSON, 
	PRIMARY KEY (sid), 
	UNIQUE (phonenumber), 
	FOREIGN KEY(account) REFERENCES account (sid)
);
INSERT INTO "did" VALUES('2971bc03-e840-413e-a6f1-5a9e4233b126','15162065337','31337b50-34f5-4077-8cd7-3fdc567be803','http://b/','POST',NULL,'POST',NULL,'USA','(516) 206-5337','+1 516-206-5337','{"phonenumber": "15162065337", "account": "31337b50-34f5-4077-8cd7-3fdc567be803", "url": "http://b/", "method": "POST", "status_callback_url": null, "status_callback_method": "POST", "fallback_url": null}');
CREATE TABLE file (
	sid VARCHAR(36) NOT NULL, 
	container VARCHAR(36) NOT NULL, 
	account VARCHAR(36) NOT NULL, 
	name VARCHAR(255) NOT NULL, 
	format VARCHAR(16) NOT NULL, 
	mime VARCHAR(255) NOT NULL, 
	bytes BIGINT NOT NULL, 
	duration DOUBLE NOT NULL, 
	string_key_1 TEXT, 
	string_key_2 TEXT, 
	integer_key_1 BIGINT, 
	integer_key_2 BIGINT, 
	lifecycle_action VARCHAR(32) NOT NULL, 
	lifecycle_ttl BIGINT, 
	expires DOUBLE, 
	created DOUBLE NOT NULL, 
	updated DOUBLE NOT NULL, 
	PRIMARY KEY (sid), 
	FOREIGN KEY(container) REFERENCES container (sid)
);
CREATE TABLE timeline (
	id INTEGER NOT NULL, 
	call VARCHAR(36) NOT NULL, 
	at DOUBLE NOT NULL, 
	what TEXT NOT NULL, 
	details JSON NOT NULL, 
	PRIMARY KEY (id)
);
CREATE INDEX ix_call_started ON call (started);
CREATE INDEX ix_call_account ON call (account);
CREATE INDEX ix_call_state ON call (state);
CREATE INDEX call_by_created ON call (account, created, sid);
CREATE INDEX ix_callback_state ON callback (state);
CREATE INDEX ix_timeline_call ON timeline (call);
CREATE INDEX ix_container_account ON container (account);
CREATE INDEX ix_did_account ON did (account);
CREATE INDEX did_by_phonenumber ON did (account, phonenumber);
CREATE INDEX ix_file_container ON file (container);
CREATE INDEX ix_file_expires ON file (expires);
CREATE INDEX ix_file_account ON file (account);
COMMIT;
