-- What the store keeps: bytes under (tenant, key), one table per space of package audit.
--
-- Everything here is only ever added to: a program of this version goes on working on the schema of a later one.

-- Rows are seen, and may be written, only of tenants that the transaction names in precept.tenants, one a line; the
-- empty name, the region's, comes with any. Without it nothing is. The setting ends with the transaction.
CREATE FUNCTION precept.scope() RETURNS SETOF text LANGUAGE sql STABLE
	RETURN unnest(string_to_array(nullif(current_setting('precept.tenants', true), ''), chr(10)));

-- Logs and records: append-only, by month, then by tenant. A key of a leaf, a body or an anchor begins with "audit/<yyyy-mm>", the
-- id of a record with its milliseconds since 1970 (6 bytes), so the key itself says the month. What has no month
-- between 2000 and 2199, as the release logs, is never dropped by time and lies in two partitions of its own.
CREATE TABLE precept.leaves (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
) PARTITION BY RANGE (key);
CREATE TABLE precept.bodies (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
) PARTITION BY RANGE (key);
ALTER TABLE precept.bodies ALTER value SET STORAGE EXTERNAL; -- sealed bytes do not get smaller
CREATE TABLE precept.records (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
) PARTITION BY RANGE (key);

CREATE TABLE precept.anchors (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
) PARTITION BY RANGE (key);

-- Where a month begins in the keys of a space.
CREATE FUNCTION precept.month_start(space text, month date) RETURNS bytea LANGUAGE sql IMMUTABLE STRICT
	RETURN CASE space
		WHEN 'records' THEN substr(int8send((extract(epoch FROM month) * 1000)::bigint), 3)
		ELSE convert_to('audit/' || to_char(month, 'YYYY-MM'), 'UTF8')
	END;

-- A partition of a space, itself by tenant. Rows of some 3 kB stay in their page, whole.
CREATE FUNCTION precept.add_partition(space text, name text, low bytea, high bytea) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	IF to_regclass('precept.' || quote_ident(name)) IS NOT NULL THEN
		RETURN;
	END IF;
	EXECUTE format('CREATE TABLE precept.%I (LIKE precept.%I INCLUDING ALL) PARTITION BY HASH (tenant)', name, space);
	FOR i IN 0..3 LOOP
		EXECUTE format('CREATE TABLE precept.%I PARTITION OF precept.%I FOR VALUES WITH (MODULUS 4, REMAINDER %s)'
			' WITH (toast_tuple_target = 4080)', name || '_' || i, name, i);
	END LOOP;
	EXECUTE format('ALTER TABLE precept.%I ATTACH PARTITION precept.%I FOR VALUES FROM (%s) TO (%s)', space, name,
		coalesce(quote_literal(low), 'MINVALUE'), coalesce(quote_literal(high), 'MAXVALUE'));
END $$;

SELECT precept.add_partition(space, space || '_before', NULL, precept.month_start(space, '2000-01-01')),
	precept.add_partition(space, space || '_after', precept.month_start(space, '2200-01-01'), NULL)
FROM unnest(ARRAY['leaves', 'bodies', 'records', 'anchors']) space;

-- Makes room for a month, once. Whoever writes to the store may ask for it; attaching waits for no writer.
CREATE FUNCTION precept.open_month(month date) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
	SET search_path = pg_catalog, pg_temp AS $$
DECLARE
	space text;
	later date := date_trunc('month', month) + interval '1 month';
BEGIN
	IF month < '2000-01-01' OR month >= '2200-01-01' THEN
		RAISE EXCEPTION 'month % is out of range', month;
	END IF;
	month := date_trunc('month', month);
	PERFORM pg_advisory_xact_lock(7309434907);
	FOREACH space IN ARRAY ARRAY['leaves', 'bodies', 'records', 'anchors'] LOOP
		PERFORM precept.add_partition(space, space || '_' || to_char(month, 'YYYY_MM'),
			precept.month_start(space, month), precept.month_start(space, later));
	END LOOP;
END $$;

-- What is found by something else than time: by tenant only.
CREATE TABLE precept.patients (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
) PARTITION BY HASH (tenant);
CREATE TABLE precept.lookups (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
) PARTITION BY HASH (tenant);
DO $$
DECLARE
	space text;
BEGIN
	FOREACH space IN ARRAY ARRAY['patients', 'lookups'] LOOP
		FOR i IN 0..7 LOOP
			EXECUTE format('CREATE TABLE precept.%I PARTITION OF precept.%I FOR VALUES WITH (MODULUS 8, REMAINDER %s)',
				space || '_' || i, space, i);
		END LOOP;
	END LOOP;
END $$;

-- Small, or large but few.
CREATE TABLE precept.meta (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
);
CREATE TABLE precept.heads (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
) WITH (fillfactor = 50); -- so that a new head finds room in the page of the old one
CREATE TABLE precept.keys (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
);
CREATE TABLE precept.blobs (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
);
ALTER TABLE precept.blobs ALTER value SET STORAGE EXTERNAL;
CREATE TABLE precept.tokens (
	tenant text COLLATE "C" NOT NULL, key bytea NOT NULL, value bytea NOT NULL, PRIMARY KEY (tenant, key)
) WITH (fillfactor = 70);

-- Writers of a tenant take turns: each holds the tenant's row until its commit.
CREATE TABLE precept.turns (tenant text COLLATE "C" PRIMARY KEY);

-- Each open store is a writer. A transaction holds the row of its writer and fails unless the epoch is the one it was
-- begun with. To end a writer's lost transactions, whether they run or have yet to arrive, is to raise the epoch.
CREATE TABLE precept.writers (
	id uuid PRIMARY KEY, epoch bigint NOT NULL, seen timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

DO $$
DECLARE
	space text;
BEGIN
	FOREACH space IN ARRAY ARRAY['meta', 'heads', 'leaves', 'bodies', 'records', 'patients', 'lookups', 'keys', 'blobs',
		'tokens', 'anchors', 'turns'] LOOP
		EXECUTE format('ALTER TABLE precept.%I ENABLE ROW LEVEL SECURITY', space);
		EXECUTE format('ALTER TABLE precept.%I FORCE ROW LEVEL SECURITY', space);
		EXECUTE format('CREATE POLICY scope ON precept.%I USING (tenant IN (SELECT precept.scope()))', space);
	END LOOP;
END $$;

-- Begins a commit: says which tenants it is about, and waits for the turn of those that it changes.
CREATE FUNCTION precept.enter(scope text, writer uuid, epoch bigint, tenants text[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	got bigint;
BEGIN
	PERFORM set_config('precept.tenants', scope, true);
	PERFORM FROM precept.writers w WHERE w.id = writer AND w.epoch = enter.epoch FOR SHARE;
	IF NOT FOUND THEN
		RAISE EXCEPTION 'transaction was ended by its writer' USING ERRCODE = 'PR001';
	END IF;
	PERFORM FROM precept.turns t WHERE t.tenant = ANY (tenants) ORDER BY t.tenant FOR UPDATE;
	GET DIAGNOSTICS got = ROW_COUNT;
	IF got < cardinality(tenants) THEN
		INSERT INTO precept.turns SELECT n FROM unnest(tenants) n ORDER BY n ON CONFLICT DO NOTHING;
		PERFORM FROM precept.turns t WHERE t.tenant = ANY (tenants) ORDER BY t.tenant FOR UPDATE;
	END IF;
END $$;

REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA precept FROM PUBLIC;
