-- Redshift's catalog and system views, and the tables in which the emulator records their data. Runs after `catalog.sql`.
-- Facts: Redshift Database Developer Guide, SVV_REDSHIFT_COLUMNS, PG_TABLE_DEF, SVV_TABLE_INFO, SYS_QUERY_HISTORY,
-- SYS_LOAD_HISTORY, SYS_LOAD_ERROR_DETAIL, STL_LOAD_ERRORS, STL_LOAD_COMMITS, PG_LAST_QUERY_ID, PG_LAST_COPY_ID,
-- "CREATE TABLE", "ALTER TABLE", "CREATE VIEW".
SET allow_system_table_mods = on;
SET check_function_bodies = off;

-- Names of 64 to 127 bytes: PostgreSQL would cut them, so it has a shorter name for each.
CREATE TABLE redshift.long_names (short text PRIMARY KEY, long text NOT NULL);
GRANT SELECT ON redshift.long_names TO PUBLIC;
CREATE FUNCTION redshift.long_name(short name) RETURNS text LANGUAGE sql STABLE STRICT AS
    $$ SELECT coalesce((SELECT long FROM redshift.long_names WHERE long_names.short = $1::text), $1::text) $$;
-- Every shorter name has a ~. PostgreSQL puts this function's text in place of a call, as it is not STRICT and has no subquery.
CREATE FUNCTION redshift.name_of(short name) RETURNS text LANGUAGE sql STABLE AS
    $$ SELECT CASE WHEN strpos($1::text, '~') > 0 THEN redshift.long_name($1) ELSE $1::text END $$;

CREATE FUNCTION redshift.type_name(type oid, modifier integer) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT CASE type
        WHEN 'pg_catalog.rs_varchar'::regtype THEN 'character varying' || CASE WHEN modifier > 0 THEN '(' || modifier || ')' ELSE '' END
        WHEN 'pg_catalog.varbyte'::regtype THEN 'binary varying' || CASE WHEN modifier > 0 THEN '(' || modifier || ')' ELSE '' END
        ELSE format_type(type, modifier) END $$;

-- Functions that write records do so with the rights of the emulator, so they check the caller.
CREATE FUNCTION redshift.check_owner(relation regclass) RETURNS void LANGUAGE plpgsql STABLE AS $$
BEGIN
    IF NOT pg_has_role(session_user, (SELECT relowner FROM pg_class WHERE oid = $1), 'USAGE') THEN
        RAISE EXCEPTION 'must be owner of relation %', (SELECT redshift.name_of(relname) FROM pg_class WHERE oid = $1)
            USING ERRCODE = '42501';
    END IF;
END $$;

-- The records about tables and views are in a catalog of PostgreSQL itself, because catalogs do not take part in
-- conflicts of serializable transactions. In Redshift it is the same. `kind` is 1 for designs, 2 for encodings, 3 for late-binding views,
-- 4 for materialized views of streams, 5 for external schemas.
CREATE FUNCTION redshift.note(kind integer, object oid, part integer, value text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE pg_catalog.pg_description SET description = $4 WHERE objoid = $2 AND classoid = $1::oid AND objsubid = $3;
    IF NOT FOUND THEN
        INSERT INTO pg_catalog.pg_description (objoid, classoid, objsubid, description) VALUES ($2, $1::oid, $3, $4);
    END IF;
END $$;

-- Late-binding views: in PostgreSQL they are views without columns; sessions replace them with their query.
CREATE VIEW redshift.late_views AS
SELECT objoid AS view, description AS query FROM pg_catalog.pg_description WHERE classoid = 3::oid;
GRANT SELECT ON redshift.late_views TO PUBLIC;
CREATE FUNCTION redshift.bind_late(view regclass, query text) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    SELECT redshift.check_owner($1);
    SELECT redshift.note(3, $1, 0, $2) $$;

-- Streaming ingestion: external schemas over Kinesis, and materialized views of streams.
CREATE VIEW redshift.stream_views AS
SELECT objoid AS view, description::jsonb AS about FROM pg_catalog.pg_description WHERE classoid = 4::oid;
CREATE TABLE redshift.arrivals (
    approximate_arrival_timestamp timestamp, partition_key pg_catalog.rs_varchar(256), shard_id character(20),
    sequence_number pg_catalog.rs_varchar(128), refresh_time timestamp, kinesis_data pg_catalog.varbyte(16777216)
);
CREATE TABLE redshift.stream_positions (view oid, shard text, sequence text, PRIMARY KEY (view, shard));
CREATE TABLE redshift.stream_scans (
    external_schema_name text, stream_name text, mv_name text, record_time timestamp, partition_id text,
    latest_position text, scanned_rows bigint, skipped_rows bigint
);
CREATE TABLE redshift.stream_errors (
    external_schema_name text, stream_name text, mv_name text, record_time timestamp, partition_id text, position text,
    error_reason text
);
CREATE VIEW pg_catalog.sys_stream_scan_states AS SELECT * FROM redshift.stream_scans;
CREATE VIEW pg_catalog.sys_stream_scan_errors AS SELECT * FROM redshift.stream_errors;
GRANT SELECT ON redshift.stream_views, redshift.arrivals, pg_catalog.sys_stream_scan_states,
    pg_catalog.sys_stream_scan_errors TO PUBLIC;
CREATE FUNCTION redshift.external_schema(name text) RETURNS void LANGUAGE sql SECURITY DEFINER AS
    $$ SELECT redshift.note(5, $1::regnamespace, 0, 'KINESIS') $$;
CREATE FUNCTION redshift.bind_stream(name text, backing text, schema text, stream text, query text, text_ text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF NOT EXISTS (SELECT 1 FROM pg_catalog.pg_description d JOIN pg_catalog.pg_namespace n ON n.oid = d.objoid
                   WHERE d.classoid = 5::oid AND n.nspname = $3) THEN
        RAISE EXCEPTION 'the emulator knows materialized views over Kinesis only, and % is no external schema', $3
            USING ERRCODE = '0A000';
    END IF;
    PERFORM redshift.note(4, $1::regclass, 0, jsonb_build_object('name', (SELECT redshift.name_of(relname) FROM
        pg_catalog.pg_class WHERE oid = $1::regclass), 'backing', $2, 'schema', $3, 'stream', $4, 'select', $5, 'text', $6)::text);
END $$;
CREATE FUNCTION redshift.check_no_stream_view(name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM redshift.stream_views WHERE view = to_regclass($1)) THEN
        RAISE EXCEPTION '% is a materialized view: it cannot be altered, and DROP MATERIALIZED VIEW drops it', $1
            USING ERRCODE = '42809';
    END IF;
END $$;
CREATE FUNCTION redshift.no_view() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'cannot change rows of a materialized view except by DELETE' USING ERRCODE = '0A000';
END $$;
CREATE FUNCTION redshift.drop_stream_view(name text, dependents boolean) RETURNS void LANGUAGE plpgsql AS $$
DECLARE found record;
BEGIN
    SELECT * INTO found FROM redshift.stream_views WHERE view = to_regclass($1);
    IF found IS NULL THEN
        RAISE EXCEPTION 'materialized view % does not exist', $1 USING ERRCODE = '42P01';
    END IF;
    EXECUTE format('DROP VIEW %s %s', $1, CASE WHEN $2 THEN 'CASCADE' ELSE '' END);
    EXECUTE format('DROP TABLE %s', found.about ->> 'backing');
    DELETE FROM redshift.stream_positions WHERE view = found.view;
END $$;

-- How a table is distributed, sorted and encoded. Columns are stored by number, because they can be renamed. A table
-- without a row has Redshift's defaults: everything AUTO.
CREATE VIEW redshift.designs AS
SELECT d.objoid AS relation, noted.* FROM pg_catalog.pg_description d, jsonb_to_record(d.description::jsonb)
    AS noted (style text, distkey smallint, sortkeys smallint[], interleaved boolean, sorted_by_itself boolean)
WHERE d.classoid = 1::oid;
CREATE VIEW redshift.encodings AS
SELECT objoid AS relation, objsubid::smallint AS attnum, description AS encoding FROM pg_catalog.pg_description
WHERE classoid = 2::oid;
CREATE FUNCTION redshift.note_design(
    relation oid, style text, distkey smallint, sortkeys smallint[], interleaved boolean, sorted_by_itself boolean
) RETURNS void LANGUAGE sql AS $$
    SELECT redshift.note(1, $1, 0, jsonb_build_object('style', $2, 'distkey', $3, 'sortkeys', $4, 'interleaved', $5,
        'sorted_by_itself', $6)::text) $$;
GRANT SELECT ON redshift.designs, redshift.encodings TO PUBLIC;
CREATE FUNCTION redshift.key_column(relation regclass, name text, purpose text) RETURNS smallint
LANGUAGE plpgsql STRICT AS $$
DECLARE found smallint; kind text;
BEGIN
    SELECT a.attnum, t.typname INTO found, kind FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
    WHERE a.attrelid = $1 AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped;
    IF found IS NULL THEN
        RAISE EXCEPTION 'column "%" named in % does not exist', name, purpose USING ERRCODE = '42703';
    END IF;
    IF kind IN ('super', 'varbyte') THEN
        RAISE EXCEPTION 'column "%" of type % cannot be a %', name, kind, purpose USING ERRCODE = '42611';
    END IF;
    RETURN found;
END $$;
CREATE FUNCTION redshift.design(
    relation regclass, style text, distkey text, sortkeys text[], interleaved boolean, columns text[], encodings text[]
) RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM redshift.designs WHERE designs.relation = $1) THEN
        RETURN;  -- CREATE TABLE IF NOT EXISTS of one that was there
    END IF;
    PERFORM redshift.check_owner($1);
    PERFORM redshift.note_design($1, $2, redshift.key_column($1, $3, 'DISTKEY'),
        ARRAY(SELECT redshift.key_column($1, name, 'SORTKEY') FROM unnest($4) WITH ORDINALITY AS keys (name, place)
              ORDER BY place), $5, cardinality($4) = 0);
    PERFORM redshift.note(2, $1, redshift.key_column($1, name, 'ENCODE'), encoding)
        FROM unnest($6, $7) AS given (name, encoding);
END $$;
CREATE FUNCTION redshift.design_like(relation regclass, parent regclass) RETURNS void LANGUAGE sql SECURITY DEFINER AS $$
    SELECT redshift.check_owner($1);
    SELECT redshift.note_design($1, style, distkey, sortkeys, interleaved, sorted_by_itself) FROM redshift.designs
    WHERE designs.relation = $2 $$;
CREATE FUNCTION redshift.encode(relation regclass, name text, encoding text) RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$
    SELECT redshift.check_owner($1);
    SELECT redshift.note(2, $1, attnum, $3) FROM pg_attribute WHERE attrelid = $1 AND attname = $2 $$;
-- AUTO keeps the key of a table, because its rows stay where they are.
CREATE FUNCTION redshift.alter_distribution(relation regclass, style text, name text) RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$
    SELECT redshift.check_owner($1);
    SELECT redshift.note_design($1, $2,
        CASE WHEN $2 = 'AUTO' THEN d.distkey ELSE redshift.key_column($1, $3, 'DISTKEY') END,
        coalesce(d.sortkeys, '{}'), coalesce(d.interleaved, false), coalesce(d.sorted_by_itself, true))
    FROM (SELECT $1::oid) AS one (relation) LEFT JOIN redshift.designs d ON d.relation = one.relation $$;
CREATE FUNCTION redshift.alter_sorting(relation regclass, how text, names text[]) RETURNS void
LANGUAGE sql SECURITY DEFINER AS $$
    SELECT redshift.check_owner($1);
    SELECT redshift.note_design($1, coalesce(d.style, 'AUTO'), d.distkey,
        CASE WHEN $2 = 'AUTO' THEN coalesce(d.sortkeys, '{}') ELSE ARRAY(SELECT redshift.key_column($1, name, 'SORTKEY')
            FROM unnest($3) WITH ORDINALITY AS keys (name, place) ORDER BY place) END,
        $2 = 'AUTO' AND coalesce(d.interleaved, false), $2 = 'AUTO')
    FROM (SELECT $1::oid) AS one (relation) LEFT JOIN redshift.designs d ON d.relation = one.relation $$;
CREATE FUNCTION redshift.check_droppable(relation regclass, name text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM redshift.designs d JOIN pg_attribute a ON a.attrelid = d.relation
               WHERE d.relation = $1 AND a.attname = $2 AND (a.attnum = d.distkey OR a.attnum = ANY (d.sortkeys))) THEN
        RAISE EXCEPTION 'cannot drop column "%": it is the distkey or a sortkey of the table', name
            USING ERRCODE = '0A000';
    END IF;
END $$;
CREATE VIEW pg_catalog.pg_table_def AS
SELECT redshift.name_of(n.nspname) AS schemaname, redshift.name_of(c.relname) AS tablename,
    redshift.name_of(a.attname) AS "column", redshift.type_name(a.atttypid, a.atttypmod) AS type,
    coalesce(e.encoding, CASE WHEN c.relpersistence = 't' OR a.attnum = ANY (d.sortkeys) THEN 'none'
        WHEN t.typname IN ('bool', 'float4', 'float8') THEN 'none'
        WHEN t.typname IN ('rs_varchar', 'bpchar', 'varbyte') THEN 'lzo'
        WHEN t.typname <> 'super' THEN 'az64' END) AS encoding,
    coalesce(a.attnum = d.distkey, false) AS distkey, coalesce(array_position(d.sortkeys, a.attnum), 0) AS sortkey,
    a.attnotnull AS "notnull"
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_type t ON t.oid = a.atttypid
    LEFT JOIN redshift.designs d ON d.relation = c.oid
    LEFT JOIN redshift.encodings e ON e.relation = c.oid AND e.attnum = a.attnum
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind = 'r' AND pg_table_is_visible(c.oid)
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'redshift', 'pg_toast');
CREATE VIEW pg_catalog.svv_table_info AS
SELECT current_database()::text AS database, redshift.name_of(n.nspname) AS schema, c.oid::bigint AS table_id,
    redshift.name_of(c.relname) AS "table",
    CASE WHEN EXISTS (SELECT 1 FROM redshift.encodings e WHERE e.relation = c.oid) THEN 'Y' ELSE 'Y, AUTO(ENCODE)' END
        AS encoded,
    CASE WHEN d.distkey IS NOT NULL AND d.style = 'AUTO' THEN 'AUTO(KEY(' || redshift.name_of(k.attname) || '))'
        WHEN d.distkey IS NOT NULL THEN 'KEY(' || redshift.name_of(k.attname) || ')'
        WHEN coalesce(d.style, 'AUTO') = 'AUTO' THEN 'AUTO(ALL)' ELSE d.style END AS diststyle,
    CASE WHEN NOT coalesce(d.sorted_by_itself, true) THEN redshift.name_of(s.attname)
        WHEN s.attname IS NULL THEN 'AUTO(SORTKEY)'
        ELSE 'AUTO(SORTKEY(' || redshift.name_of(s.attname) || '))' END AS sortkey1,
    cardinality(d.sortkeys) AS sortkey_num
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN redshift.designs d ON d.relation = c.oid
    LEFT JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = d.distkey
    LEFT JOIN pg_attribute s ON s.attrelid = c.oid AND s.attnum = d.sortkeys[1]
WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'redshift', 'pg_toast');
GRANT SELECT ON pg_catalog.pg_table_def TO PUBLIC;  -- SVV_TABLE_INFO is the superusers'

-- PG_CLASS and similar catalogs with names of more than 63 bytes; statements use these views instead.
CREATE VIEW redshift.pg_namespace AS
SELECT oid, redshift.name_of(nspname) AS nspname, nspowner, nspacl::text AS nspacl FROM pg_catalog.pg_namespace;
CREATE VIEW redshift.pg_class AS
SELECT oid, redshift.name_of(relname) AS relname, relnamespace, relowner, relkind::text AS relkind, relacl::text AS relacl
FROM pg_catalog.pg_class;
CREATE VIEW redshift.pg_attribute AS
SELECT attrelid, redshift.name_of(attname) AS attname, attnum, attisdropped, attnotnull FROM pg_catalog.pg_attribute;
CREATE VIEW redshift.pg_views AS
SELECT redshift.name_of(n.nspname) AS schemaname, redshift.name_of(c.relname) AS viewname,
    pg_get_userbyid(c.relowner) AS viewowner,
    coalesce((SELECT query || ' WITH NO SCHEMA BINDING' FROM redshift.late_views WHERE view = c.oid),
        (SELECT about ->> 'text' FROM redshift.stream_views WHERE view = c.oid), pg_get_viewdef(c.oid))
        AS definition
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'v';
-- a regular user sees only its own tables
CREATE VIEW pg_catalog.pg_class_info AS
SELECT c.oid AS reloid, redshift.name_of(c.relname) AS relname, c.relnamespace, c.relowner, c.relkind::text AS relkind,
    CASE WHEN coalesce(d.style, 'AUTO') = 'EVEN' THEN 0 WHEN d.style = 'KEY' THEN 1 WHEN d.style = 'ALL' THEN 8
        WHEN d.distkey IS NOT NULL THEN 12 ELSE 10 END AS releffectivediststyle
FROM pg_catalog.pg_class c LEFT JOIN redshift.designs d ON d.relation = c.oid
WHERE pg_has_role(c.relowner, 'USAGE');
GRANT SELECT ON redshift.pg_namespace, redshift.pg_class, redshift.pg_attribute, redshift.pg_views,
    pg_catalog.pg_class_info TO PUBLIC;

-- Few joins and many subqueries, of which PostgreSQL only plans those that a statement needs: loads ask often.
CREATE VIEW pg_catalog.svv_redshift_columns AS
SELECT current_database()::text AS database_name, redshift.name_of(n.nspname) AS schema_name,
    redshift.name_of(c.relname) AS table_name, redshift.name_of(a.attname) AS column_name,
    (a.attnum - (SELECT count(*) FROM pg_attribute gone WHERE gone.attrelid = a.attrelid AND gone.attisdropped
        AND gone.attnum BETWEEN 1 AND a.attnum))::integer AS ordinal_position,
    redshift.type_name(a.atttypid, a.atttypmod) AS data_type,
    coalesce((SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = a.attrelid AND adnum = a.attnum), '')
        AS column_default,  -- NULL or empty: the guide does not say
    coalesce((SELECT encoding FROM redshift.encodings e WHERE e.relation = c.oid AND e.attnum = a.attnum),
        CASE WHEN c.relpersistence = 't' OR a.attnum = ANY (d.sortkeys) THEN 'none'
            WHEN a.atttypid = ANY ('{bool,float4,float8}'::regtype[]) THEN 'none'
            WHEN a.atttypid = ANY ('{rs_varchar,bpchar,varbyte}'::regtype[]) THEN 'lzo'
            WHEN a.atttypid <> 'super'::regtype THEN 'az64' END) AS encoding,
    coalesce(a.attnum = d.distkey, false) AS distkey,
    coalesce(array_position(d.sortkeys, a.attnum), 0)
        * CASE WHEN d.interleaved AND array_position(d.sortkeys, a.attnum) % 2 = 0 THEN -1 ELSE 1 END AS sortkey,
    CASE WHEN a.attnotnull THEN 'NO' ELSE 'YES' END AS is_nullable,
    col_description(c.oid, a.attnum) AS remarks
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN redshift.designs d ON d.relation = c.oid
WHERE a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'v')
    -- a regular user sees what it has a right on
    AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT, INSERT, UPDATE, DELETE')
    AND (c.relkind = 'r' OR NOT EXISTS (SELECT 1 FROM redshift.late_views WHERE view = c.oid))
    AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'redshift', 'pg_toast');
GRANT SELECT ON pg_catalog.svv_redshift_columns TO PUBLIC;

-- The last query and the last COPY of a session, and the result of every COPY.
CREATE FUNCTION pg_catalog.pg_last_query_id() RETURNS integer LANGUAGE sql STABLE AS
    $$ SELECT coalesce(nullif(current_setting('redshift.last_query_id', true), ''), '-1')::integer $$;
CREATE FUNCTION pg_catalog.pg_last_copy_id() RETURNS bigint LANGUAGE sql STABLE AS
    $$ SELECT coalesce(nullif(current_setting('redshift.last_copy_id', true), ''), '-1')::bigint $$;
CREATE FUNCTION pg_catalog.pg_last_copy_count() RETURNS bigint LANGUAGE sql STABLE AS
    $$ SELECT coalesce(nullif(current_setting('redshift.last_copy_count', true), ''), '0')::bigint $$;
CREATE TABLE redshift.queries (
    query_id bigint, query_label text, transaction_id bigint, session_id integer, query_type text, status text,
    start_time timestamp, end_time timestamp, elapsed_time bigint, error_message text, returned_rows bigint,
    query_text text
);
CREATE VIEW pg_catalog.sys_query_history AS
SELECT 1 AS user_id, query_id, query_label, transaction_id, session_id, current_database()::text AS database_name,
    query_type, status, false AS result_cache_hit, start_time, end_time, elapsed_time, 0::bigint AS queue_time,
    elapsed_time AS execution_time, error_message, returned_rows, query_text
FROM redshift.queries;
CREATE TABLE redshift.loads (
    query_id bigint, transaction_id bigint, session_id integer, status text, table_name text, start_time timestamp,
    end_time timestamp, duration bigint, data_source text, file_format text, loaded_rows bigint, loaded_bytes bigint,
    source_file_count bigint, source_file_bytes bigint, file_count_scanned bigint, file_bytes_scanned bigint,
    error_count bigint
);
CREATE TABLE redshift.load_errors (
    query_id bigint, transaction_id bigint, session_id integer, table_id integer, start_time timestamp, file_name text,
    line_number bigint, column_name text, column_type text, column_length text, position integer, error_code integer,
    error_message text
);
CREATE TABLE redshift.loaded_files (query_id bigint, file_name text, lines bigint, loaded_at timestamp);
CREATE VIEW pg_catalog.sys_load_history AS
SELECT 1 AS user_id, current_database()::text AS database_name, loads.* FROM redshift.loads;
CREATE VIEW pg_catalog.sys_load_error_detail AS
SELECT 1 AS user_id, current_database()::text AS database_name, load_errors.* FROM redshift.load_errors;
CREATE VIEW pg_catalog.stl_load_errors AS
SELECT 1 AS userid, 0 AS slice, table_id AS tbl, start_time AS starttime, session_id AS session, query_id AS query,
    file_name AS filename, line_number, column_name AS colname, column_type AS type, column_length AS col_length,
    position, ''::text AS raw_line, ''::text AS raw_field_value, error_code AS err_code, error_message AS err_reason
FROM redshift.load_errors;
CREATE VIEW pg_catalog.stl_load_commits AS
SELECT 1 AS userid, query_id AS query, 0 AS slice, file_name AS filename, lines AS lines_scanned, loaded_at AS curtime,
    'Parquet'::text AS file_format, 0 AS is_partial, 0::bigint AS start_offset
FROM redshift.loaded_files;
GRANT SELECT ON pg_catalog.sys_query_history, pg_catalog.sys_load_history, pg_catalog.sys_load_error_detail,
    pg_catalog.stl_load_errors, pg_catalog.stl_load_commits TO PUBLIC;
