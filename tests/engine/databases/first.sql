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
	PRIMARY KEY (sid), 
	UNIQUE (login)
);
INSERT INTO "account" VALUES('b655d4b9-4975-4cab-827d-1dab2c29a2c6','demo','scrypt$16384$8$1$c9866b8c468637b54db0d7402fc3c513$282864ab1970194f447ce4c7bd7359ae05e8696a1f772143bbc6f0f6f2b5263d','Démo','http://a/','POST','basic',NULL,'["1", "2"]');
CREATE TABLE call (
	sid VARCHAR(36) NOT NULL, 
	account VARCHAR(36) NOT NULL, 
	direction VARCHAR(16) NOT NULL, 
	from_number TEXT NOT NULL, 
	to_number TEXT NOT NULL, 
	state VARCHAR(16) NOT NULL, 
	started DOUBLE NOT NULL, 
	answered DOUBLE, 
	ended DOUBLE, 
	status VARCHAR(32) NOT NULL, 
	duration_s INTEGER NOT NULL, 
	PRIMARY KEY (sid)
);
INSERT INTO "call" VALUES('11111111-1111-4111-8111-111111111111','b655d4b9-4975-4cab-827d-1dab2c29a2c6','inbound','1','15162065337','ended',1.5,2.0,9.0,'completed',7);
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
CREATE TABLE did (
	sid VARCHAR(36) NOT NULL, 
	phonenumber VARCHAR(64) NOT NULL, 
	account VARCHAR(36) NOT NULL, 
	url TEXT, 
	method VARCHAR(8) NOT NULL, 
	status_callback_url TEXT, 
	status_callback_method VARCHAR(8) NOT NULL, 
	fallback_url TEXT, 
	PRIMARY KEY (sid), 
	UNIQUE (phonenumber), 
	FOREIGN KEY(account) REFERENCES account (sid)
);
INSERT INTO "did" VALUES('8d21442d-dfbe-4e3d-adda-47331a1f5dfe','15162065337','b655d4b9-4975-4cab-827d-1dab2c29a2c6','http://b/','POST',NULL,'POST',NULL);
CREATE INDEX ix_call_state ON call (state);
CREATE INDEX ix_call_started ON call (started);
CREATE INDEX ix_call_account ON call (account);
CREATE INDEX ix_callback_state ON callback (state);
CREATE INDEX ix_did_account ON did (account);
COMMIT;
