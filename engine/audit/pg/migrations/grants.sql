-- What the roles may do; said anew after every migration. {service} serves: it adds to what is append-only, and never
-- changes or removes it. {retention} removes what its time is over for, and reads what says so.
GRANT USAGE ON SCHEMA precept TO {service}, {retention};
GRANT SELECT ON precept.migrations TO {service}, {retention};
GRANT SELECT, INSERT ON precept.leaves, precept.bodies, precept.records, precept.blobs, precept.anchors
	TO {service};
GRANT SELECT, INSERT, UPDATE, DELETE ON precept.meta, precept.heads, precept.patients, precept.lookups, precept.keys,
	precept.tokens, precept.writers TO {service};
GRANT SELECT, INSERT, UPDATE ON precept.turns TO {service};
GRANT EXECUTE ON FUNCTION precept.scope(), precept.enter(text, uuid, bigint, text[]), precept.open_month(date)
	TO {service};
GRANT SELECT, DELETE ON precept.leaves, precept.bodies, precept.records, precept.blobs, precept.anchors, precept.patients,
	precept.lookups, precept.keys TO {retention};
GRANT SELECT ON precept.meta, precept.heads TO {retention};
GRANT EXECUTE ON FUNCTION precept.scope() TO {retention};
