-- The types and functions that make PostgreSQL behave like Redshift. They are installed into pg_catalog before clients
-- connect, so that no search_path hides them. `system_views.sql` has the catalog and the system views.
-- Facts: Redshift Database Developer Guide, "Character types", "SUPER type", "VARBYTE type", JSON_PARSE, JSON_SERIALIZE.
SET allow_system_table_mods = on;
SET check_function_bodies = off;
CREATE SCHEMA redshift;
GRANT USAGE ON SCHEMA redshift TO PUBLIC;

-- VARCHAR: length in bytes; trailing blanks are kept but not compared, as in PostgreSQL's bpchar functions.
CREATE TYPE pg_catalog.rs_varchar;
CREATE FUNCTION pg_catalog.rs_varchar_in(cstring) RETURNS pg_catalog.rs_varchar
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textin';
CREATE FUNCTION pg_catalog.rs_varchar_out(pg_catalog.rs_varchar) RETURNS cstring
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textout';
CREATE FUNCTION pg_catalog.rs_varchar_recv(internal) RETURNS pg_catalog.rs_varchar
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textrecv';
CREATE FUNCTION pg_catalog.rs_varchar_send(pg_catalog.rs_varchar) RETURNS bytea
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textsend';
CREATE TYPE pg_catalog.rs_varchar (
    INPUT = pg_catalog.rs_varchar_in, OUTPUT = pg_catalog.rs_varchar_out,
    RECEIVE = pg_catalog.rs_varchar_recv, SEND = pg_catalog.rs_varchar_send,
    TYPMOD_IN = pg_catalog.varbittypmodin, TYPMOD_OUT = pg_catalog.varbittypmodout,
    LIKE = pg_catalog.text, CATEGORY = 'S', COLLATABLE = true
);
CREATE CAST (pg_catalog.rs_varchar AS text) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (pg_catalog.rs_varchar AS varchar) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (text AS pg_catalog.rs_varchar) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE CAST (varchar AS pg_catalog.rs_varchar) WITHOUT FUNCTION AS ASSIGNMENT;

CREATE FUNCTION redshift.too_long(size integer) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RAISE EXCEPTION 'Value too long for character type' USING ERRCODE = '22001', DETAIL = format(
        E'\n  -----------------------------------------------\n  error:  Value too long for character type\n'
        '  code:      8001\n  context:   Value too long for type character varying(%s)\n'
        '  -----------------------------------------------\n', size);
END $$;
CREATE FUNCTION redshift.cut(value text, size integer) RETURNS text LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE taken text := left(value, size);
BEGIN
    WHILE octet_length(taken) > size LOOP taken := left(taken, -1); END LOOP;
    RETURN taken;
END $$;
-- A value that is too long is an error, unless the excess is only blanks; an explicit cast cuts it.
CREATE FUNCTION pg_catalog.rs_varchar(pg_catalog.rs_varchar, integer, boolean) RETURNS pg_catalog.rs_varchar
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
    SELECT CASE WHEN $2 < 0 OR octet_length($1::text) <= $2 THEN $1
                WHEN $3 THEN redshift.cut($1::text, $2)::pg_catalog.rs_varchar
                WHEN octet_length(rtrim($1::text)) <= $2
                    THEN rpad(rtrim($1::text), length(rtrim($1::text)) + $2 - octet_length(rtrim($1::text)))::pg_catalog.rs_varchar
                ELSE redshift.too_long($2)::pg_catalog.rs_varchar END $$;
CREATE CAST (pg_catalog.rs_varchar AS pg_catalog.rs_varchar)
    WITH FUNCTION pg_catalog.rs_varchar(pg_catalog.rs_varchar, integer, boolean) AS IMPLICIT;

CREATE FUNCTION redshift.joined(pg_catalog.rs_varchar, pg_catalog.rs_varchar) RETURNS pg_catalog.rs_varchar
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'textcat';
CREATE OPERATOR pg_catalog.|| (FUNCTION = redshift.joined,
    LEFTARG = pg_catalog.rs_varchar, RIGHTARG = pg_catalog.rs_varchar);
-- VARBYTE: bytes with a maximum size.
CREATE TYPE pg_catalog.varbyte;
CREATE FUNCTION pg_catalog.varbyte_in(cstring) RETURNS pg_catalog.varbyte
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteain';
CREATE FUNCTION pg_catalog.varbyte_out(pg_catalog.varbyte) RETURNS cstring
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'byteaout';
CREATE TYPE pg_catalog.varbyte (
    INPUT = pg_catalog.varbyte_in, OUTPUT = pg_catalog.varbyte_out,
    TYPMOD_IN = pg_catalog.varbittypmodin, TYPMOD_OUT = pg_catalog.varbittypmodout, LIKE = bytea
);
CREATE CAST (pg_catalog.varbyte AS bytea) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (bytea AS pg_catalog.varbyte) WITHOUT FUNCTION AS ASSIGNMENT;
CREATE FUNCTION redshift.to_varbyte(pg_catalog.rs_varchar) RETURNS pg_catalog.varbyte LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT convert_to($1::text, 'UTF8')::pg_catalog.varbyte $$;
CREATE CAST (pg_catalog.rs_varchar AS pg_catalog.varbyte) WITH FUNCTION redshift.to_varbyte(pg_catalog.rs_varchar);
CREATE FUNCTION redshift.to_text(pg_catalog.varbyte) RETURNS pg_catalog.rs_varchar LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT convert_from($1::bytea, 'UTF8')::pg_catalog.rs_varchar $$;
CREATE CAST (pg_catalog.varbyte AS pg_catalog.rs_varchar) WITH FUNCTION redshift.to_text(pg_catalog.varbyte);
CREATE FUNCTION pg_catalog.from_varbyte(pg_catalog.varbyte, text) RETURNS pg_catalog.rs_varchar
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE WHEN lower($2) IN ('utf8', 'utf-8') THEN convert_from($1::bytea, 'UTF8')
                ELSE encode($1::bytea, lower($2)) END::pg_catalog.rs_varchar $$;
CREATE FUNCTION pg_catalog.to_varbyte(pg_catalog.rs_varchar, text) RETURNS pg_catalog.varbyte
LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE WHEN lower($2) IN ('utf8', 'utf-8') THEN convert_to($1::text, 'UTF8')
                ELSE decode($1::text, lower($2)) END::pg_catalog.varbyte $$;
CREATE FUNCTION redshift.sized(pg_catalog.varbyte, integer, boolean) RETURNS pg_catalog.varbyte
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    IF $2 < 0 OR octet_length($1::bytea) <= $2 THEN RETURN $1; END IF;
    IF $3 THEN RETURN substring($1::bytea FROM 1 FOR $2); END IF;
    RAISE EXCEPTION 'Value too long for type binary varying(%)', $2 USING ERRCODE = '22001';
END $$;
CREATE CAST (pg_catalog.varbyte AS pg_catalog.varbyte)
    WITH FUNCTION redshift.sized(pg_catalog.varbyte, integer, boolean) AS IMPLICIT;
-- SUPER: jsonb, with Redshift's limits for conversions from and to text.
CREATE TYPE pg_catalog.super;
CREATE FUNCTION pg_catalog.super_in(cstring) RETURNS pg_catalog.super
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'jsonb_in';
CREATE FUNCTION pg_catalog.super_out(pg_catalog.super) RETURNS cstring
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'jsonb_out';
CREATE TYPE pg_catalog.super (INPUT = pg_catalog.super_in, OUTPUT = pg_catalog.super_out, LIKE = jsonb);
CREATE CAST (pg_catalog.super AS jsonb) WITHOUT FUNCTION AS IMPLICIT;
CREATE CAST (jsonb AS pg_catalog.super) WITHOUT FUNCTION AS ASSIGNMENT;
-- without JSON_PARSE a text becomes one SUPER string
CREATE FUNCTION redshift.to_super(pg_catalog.rs_varchar) RETURNS pg_catalog.super LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT to_jsonb($1::text)::pg_catalog.super $$;
CREATE CAST (pg_catalog.rs_varchar AS pg_catalog.super)
    WITH FUNCTION redshift.to_super(pg_catalog.rs_varchar) AS ASSIGNMENT;
-- an object or array cast to VARCHAR is NULL
CREATE FUNCTION redshift.scalar(pg_catalog.super) RETURNS pg_catalog.rs_varchar LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT CASE WHEN jsonb_typeof($1::jsonb) IN ('object', 'array') THEN NULL
              ELSE ($1::jsonb #>> '{}')::pg_catalog.rs_varchar END $$;
CREATE CAST (pg_catalog.super AS pg_catalog.rs_varchar) WITH FUNCTION redshift.scalar(pg_catalog.super);
DO $$
DECLARE kind text;
BEGIN
    FOREACH kind IN ARRAY ARRAY['smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision', 'boolean',
        'timestamp', 'timestamptz', 'date']
    LOOP
        EXECUTE format('CREATE FUNCTION redshift.%I(pg_catalog.super) RETURNS %s LANGUAGE sql STABLE STRICT AS %L',
            'super_to_' || kind, kind, format('SELECT redshift.scalar($1)::text::%s', kind));
        EXECUTE format('CREATE CAST (pg_catalog.super AS %s) WITH FUNCTION redshift.%I(pg_catalog.super)',
            kind, 'super_to_' || kind);
    END LOOP;
END $$;

-- Comparisons of these three types, with PostgreSQL's functions for bpchar, bytea and jsonb.
DO $$
DECLARE kind record; one record; known text;
BEGIN
    FOR kind IN SELECT * FROM (VALUES ('rs_varchar', 'bpchar', 'bpcharcmp', 'hashbpchar'),
        ('varbyte', 'bytea', 'byteacmp', 'hashvarlena'), ('super', 'jsonb_', 'jsonb_cmp', 'jsonb_hash')
    ) AS kinds (name, prefix, compares, hashes)
    LOOP
        FOR one IN SELECT * FROM (VALUES ('eq', '=', '=', '<>', 'eq'), ('ne', '<>', '<>', '=', 'neq'),
            ('lt', '<', '>', '>=', 'scalarlt'), ('le', '<=', '>=', '>', 'scalarle'), ('gt', '>', '<', '<=', 'scalargt'),
            ('ge', '>=', '<=', '<', 'scalarge')) AS signs (name, sign, commutes, negates, estimates)
        LOOP
            known := kind.name || '_' || one.name;
            EXECUTE format('CREATE FUNCTION pg_catalog.%I(pg_catalog.%I, pg_catalog.%I) RETURNS boolean '
                'LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS %L',
                known, kind.name, kind.name, kind.prefix || one.name);
            EXECUTE format('CREATE OPERATOR pg_catalog.%s (FUNCTION = pg_catalog.%I, LEFTARG = pg_catalog.%I, '
                'RIGHTARG = pg_catalog.%I, COMMUTATOR = OPERATOR(pg_catalog.%s), NEGATOR = OPERATOR(pg_catalog.%s), '
                'RESTRICT = %ssel, JOIN = %sjoinsel%s)', one.sign, known, kind.name, kind.name, one.commutes,
                one.negates, one.estimates, one.estimates, CASE one.sign WHEN '=' THEN ', HASHES, MERGES' ELSE '' END);
        END LOOP;
        EXECUTE format('CREATE FUNCTION pg_catalog.%I(pg_catalog.%I, pg_catalog.%I) RETURNS integer '
            'LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS %L',
            kind.name || '_cmp', kind.name, kind.name, kind.compares);
        EXECUTE format('CREATE FUNCTION pg_catalog.%I(pg_catalog.%I) RETURNS integer '
            'LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS %L', kind.name || '_hash', kind.name, kind.hashes);
        EXECUTE format('CREATE OPERATOR CLASS pg_catalog.%I DEFAULT FOR TYPE pg_catalog.%I USING btree AS '
            'OPERATOR 1 pg_catalog.<, OPERATOR 2 pg_catalog.<=, OPERATOR 3 pg_catalog.=, OPERATOR 4 pg_catalog.>=, '
            'OPERATOR 5 pg_catalog.>, FUNCTION 1 pg_catalog.%I(pg_catalog.%I, pg_catalog.%I)',
            kind.name || '_ops', kind.name, kind.name || '_cmp', kind.name, kind.name);
        EXECUTE format('CREATE OPERATOR CLASS pg_catalog.%I DEFAULT FOR TYPE pg_catalog.%I USING hash AS '
            'OPERATOR 1 pg_catalog.=, FUNCTION 1 pg_catalog.%I(pg_catalog.%I)',
            kind.name || '_hash_ops', kind.name, kind.name || '_hash', kind.name);
    END LOOP;
END $$;
CREATE FUNCTION redshift.smaller(pg_catalog.rs_varchar, pg_catalog.rs_varchar) RETURNS pg_catalog.rs_varchar
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'bpchar_smaller';
CREATE FUNCTION redshift.larger(pg_catalog.rs_varchar, pg_catalog.rs_varchar) RETURNS pg_catalog.rs_varchar
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'bpchar_larger';
CREATE AGGREGATE pg_catalog.min(pg_catalog.rs_varchar)
    (SFUNC = redshift.smaller, STYPE = pg_catalog.rs_varchar, SORTOP = OPERATOR(pg_catalog.<));
CREATE AGGREGATE pg_catalog.max(pg_catalog.rs_varchar)
    (SFUNC = redshift.larger, STYPE = pg_catalog.rs_varchar, SORTOP = OPERATOR(pg_catalog.>));


-- Navigation: missing members are NULL.
CREATE FUNCTION redshift.attribute(pg_catalog.super, text) RETURNS pg_catalog.super
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'jsonb_object_field';
CREATE FUNCTION redshift.element(pg_catalog.super, integer) RETURNS pg_catalog.super
    LANGUAGE internal IMMUTABLE STRICT PARALLEL SAFE AS 'jsonb_array_element';

CREATE FUNCTION redshift.parsed(value text) RETURNS pg_catalog.super LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE longest integer;
BEGIN
    IF octet_length(value) > 16777216 THEN
        RAISE EXCEPTION 'The SUPER value is larger than the limit of 16777216 bytes' USING ERRCODE = 'XX000';
    END IF;
    IF value IS NOT JSON THEN
        RAISE EXCEPTION 'Invalid JSON format: %', left(value, 60) USING ERRCODE = 'XX000';
    END IF;
    IF value IS NOT JSON WITH UNIQUE KEYS THEN
        RAISE EXCEPTION 'Duplicate attribute name found while parsing JSON' USING ERRCODE = 'XX000';
    END IF;
    IF value ~ '[0-9.]{39}|[0-9][eE][-+]?[0-9]' THEN -- what becomes of them is not documented
        IF EXISTS (SELECT FROM jsonb_path_query(value::jsonb, 'strict $.**') AS item WHERE jsonb_typeof(item) = 'number'
                   AND length(translate(item #>> '{}', '-.', '')) > 38) THEN
            RAISE EXCEPTION 'a number in JSON has more digits than DECIMAL(38)' USING ERRCODE = '22003';
        END IF;
    END IF;
    IF octet_length(value) > 65535 THEN
        SELECT max(octet_length(item #>> '{}')) INTO longest
        FROM jsonb_path_query(value::jsonb, 'strict $.**') AS item WHERE jsonb_typeof(item) = 'string';
        IF longest > 65535 THEN
            RAISE EXCEPTION 'String value exceeds the max size of 65535 bytes' USING ERRCODE = 'XX000';
        END IF;
    END IF;
    RETURN value::jsonb;
END $$;
CREATE FUNCTION pg_catalog.json_parse(pg_catalog.rs_varchar) RETURNS pg_catalog.super LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT redshift.parsed($1::text) $$;
CREATE FUNCTION pg_catalog.json_parse(text) RETURNS pg_catalog.super LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT redshift.parsed($1) $$;
CREATE FUNCTION pg_catalog.json_parse(pg_catalog.varbyte) RETURNS pg_catalog.super LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT redshift.parsed(convert_from($1::bytea, 'UTF8')) $$;
CREATE FUNCTION pg_catalog.can_json_parse(pg_catalog.rs_varchar) RETURNS boolean LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT $1::text IS JSON WITH UNIQUE KEYS $$;
CREATE FUNCTION pg_catalog.can_json_parse(pg_catalog.varbyte) RETURNS boolean LANGUAGE plpgsql IMMUTABLE STRICT AS $$
BEGIN
    PERFORM redshift.parsed(convert_from($1::bytea, 'UTF8'));
    RETURN true;
EXCEPTION WHEN OTHERS THEN
    RETURN false;
END $$;
CREATE FUNCTION pg_catalog.get_array_length(pg_catalog.super) RETURNS integer LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT CASE WHEN jsonb_typeof($1::jsonb) = 'array' THEN jsonb_array_length($1::jsonb) END $$;
CREATE FUNCTION pg_catalog.object(text, pg_catalog.super) RETURNS pg_catalog.super LANGUAGE sql IMMUTABLE AS
    $$ SELECT jsonb_build_object($1, $2::jsonb)::pg_catalog.super $$;
-- Unnesting, with the position of each element
CREATE FUNCTION redshift.elements(pg_catalog.super) RETURNS TABLE (value pg_catalog.super, place bigint)
LANGUAGE sql IMMUTABLE AS $$
    SELECT item::pg_catalog.super, number - 1 FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS items (item, number) $$;

-- JSON without the blanks that jsonb puts after : and , outside of strings
CREATE FUNCTION redshift.compact(value jsonb) RETURNS text LANGUAGE sql IMMUTABLE STRICT AS $$
    SELECT CASE jsonb_typeof(value)
        WHEN 'object' THEN '{' || coalesce((SELECT string_agg(to_jsonb(key)::text || ':' || redshift.compact(one), ',')
                                            FROM jsonb_each(value) AS pairs (key, one)), '') || '}'
        WHEN 'array' THEN '[' || coalesce((SELECT string_agg(redshift.compact(one), ',' ORDER BY place)
                                          FROM jsonb_array_elements(value) WITH ORDINALITY AS items (one, place)), '') || ']'
        ELSE value::text END $$;
CREATE FUNCTION redshift.json_serialize(pg_catalog.super) RETURNS pg_catalog.rs_varchar
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE text_ text := redshift.compact($1::jsonb);
BEGIN
    IF octet_length(text_) > 65535 THEN
        RAISE EXCEPTION 'JSON_SERIALIZE: the result exceeds the max VARCHAR size of 65535 bytes' USING ERRCODE = 'XX000';
    END IF;
    RETURN text_;
END $$;
CREATE FUNCTION redshift.json_serialize_to_varbyte(pg_catalog.super) RETURNS pg_catalog.varbyte
    LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT convert_to(redshift.compact($1::jsonb), 'UTF8')::pg_catalog.varbyte $$;
CREATE FUNCTION pg_catalog.json_typeof(pg_catalog.super) RETURNS pg_catalog.rs_varchar LANGUAGE sql IMMUTABLE STRICT AS
    $$ SELECT jsonb_typeof($1::jsonb)::pg_catalog.rs_varchar $$;
