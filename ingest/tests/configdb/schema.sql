-- PostgreSQL 15 DDL of the subset of the Genesys Engage Configuration Database
-- that the bridge reads. For tests (a stand-in for a site's database), not a migration.
--
-- Every table carries COMMENT ON TABLE with its provenance:
--   SOURCED        names, types, lengths and primary key taken from a published model of a real DB
--   SOURCED-COLS   table and column names taken from a real DB; types/PK inferred by analogy
--   PARTIAL        table name and some columns seen in published SQL; the rest reconstructed
--   RECONSTRUCTED  no public source for the physical name or columns was found; shape derived
--                  from the Configuration SDK object model.  DO NOT hard-code these names.
--
-- Sources:
--   [EDMX]  devRabbiz/CallCenterHelper  Tele.DataLibrary/CTICFGModel.edmx  (MS SQL Server, EF model of a live DB)
--   [SQOOP] maxflorentin/data-engineering  zonda-etl/scripts/shared/sqoop/config/genesys_cfg.json (Oracle, schema GENCME)
--   [SDK]   Genesys Configuration SDK object reference (docs.genesys.com PSDK ConfigLayerRef)
--
-- numeric(10) is what the MS SQL Server DB uses for every dbid/csid.  The Oracle script is expected to use
-- NUMBER(10) and the PostgreSQL one numeric(10) or integer (not confirmed): readers must CAST, not assume.

BEGIN;
CREATE SCHEMA IF NOT EXISTS genesys;
SET search_path = genesys;

-- ---------------------------------------------------------------- tenant
CREATE TABLE cfg_tenant (
  dbid                numeric(10) NOT NULL PRIMARY KEY,
  is_serv_provider    integer,
  name                varchar(255),
  password            varchar(64),
  address_line1       varchar(64),
  address_line2       varchar(64),
  address_line3       varchar(64),
  address_line4       varchar(64),
  address_line5       varchar(64),
  chargeable_number   varchar(255),
  tenant_person_dbid  numeric(10),
  provid_person_dbid  numeric(10),
  is_super_tenant     integer,
  state               integer,
  csid                numeric(10),
  tenant_person_csid  numeric(10),
  provid_person_csid  numeric(10),
  capacity_dbid       numeric(10),
  contract_dbid       numeric(10),
  parent_tenant_dbid  numeric(10)
);
COMMENT ON TABLE cfg_tenant IS 'SOURCED-COLS [SQOOP] all 20 columns, in order; types inferred';

-- ---------------------------------------------------------------- switch / DN
CREATE TABLE cfg_switch (
  dbid              numeric(10) NOT NULL PRIMARY KEY,
  tenant_dbid       numeric(10),
  phys_switch_dbid  numeric(10),
  type              integer,
  name              varchar(255),
  link_type         integer,
  state             integer,
  csid              numeric(10),
  tenant_csid       numeric(10)
);
COMMENT ON TABLE cfg_switch IS 'PARTIAL: dbid,tenant_dbid,phys_switch_dbid,type,name,link_type,state seen in a published Oracle query; csid columns by analogy; other columns of the real table omitted';

CREATE TABLE cfg_dn (
  dbid              numeric(10) NOT NULL PRIMARY KEY,
  switch_dbid       numeric(10),
  tenant_dbid       numeric(10),
  type              integer,
  number_           varchar(255),
  association       varchar(255),
  login_flag        integer,
  dn_login_id       varchar(255),
  register_all      integer,
  group_dbid        numeric(10),
  trunks            integer,
  route_type        integer,
  override          varchar(255),
  state             integer,
  name              varchar(255),
  use_override      integer,
  sw_specific_type  integer,
  csid              numeric(10),
  switch_csid       numeric(10),
  tenant_csid       numeric(10),
  group_csid        numeric(10),
  place_dbid        numeric(10),
  place_csid        numeric(10),
  site_dbid         numeric(10),
  contract_dbid     numeric(10)
);
CREATE INDEX cfg_dn_sw_type ON cfg_dn (switch_dbid, type);
COMMENT ON TABLE cfg_dn IS 'SOURCED [EDMX] all 25 columns, types, PK';
COMMENT ON COLUMN cfg_dn.number_ IS 'DN number; for a Virtual Queue this is the VQ name';
COMMENT ON COLUMN cfg_dn.name    IS 'DN alias';

-- ---------------------------------------------------------------- place (needed only to relate extension -> place)
CREATE TABLE cfg_place (
  dbid           numeric(10) NOT NULL PRIMARY KEY,
  tenant_dbid    numeric(10),
  name           varchar(255),
  state          integer,
  csid           numeric(10),
  tenant_csid    numeric(10),
  capacity_dbid  numeric(10),
  site_dbid      numeric(10),
  contract_dbid  numeric(10)
);
COMMENT ON TABLE cfg_place IS 'SOURCED-COLS: columns from sapk/rtme-browser query on dbo.cfg_place (tenant_dbid by analogy)';

-- ---------------------------------------------------------------- person, agent logins, skills
CREATE TABLE cfg_person (
  dbid            numeric(10) NOT NULL PRIMARY KEY,
  tenant_dbid     numeric(10),
  last_name       varchar(64),
  first_name      varchar(64),
  address_line1   varchar(64),
  address_line2   varchar(64),
  address_line3   varchar(64),
  address_line4   varchar(64),
  address_line5   varchar(64),
  office          varchar(64),
  home            varchar(64),
  mobile          varchar(64),
  pager           varchar(64),
  fax             varchar(64),
  modem           varchar(64),
  phones_comment  varchar(64),
  birthdate       varchar(64),
  comment_        varchar(255),
  employee_id     varchar(64),
  user_name       varchar(255),
  password        varchar(64),
  is_agent        integer,
  is_admin        integer,
  state           integer,
  csid            numeric(10),
  tenant_csid     numeric(10),
  place_dbid      numeric(10),
  place_csid      numeric(10),
  capacity_dbid   numeric(10),
  site_dbid       numeric(10),
  contract_dbid   numeric(10),
  -- the following are NOT in [EDMX] (an older database); the SDK has had emailAddress/externalID since 7.6
  e_mail          varchar(255),
  external_id     varchar(255)
);
COMMENT ON TABLE cfg_person IS 'SOURCED [EDMX] first 31 columns, types, PK; e_mail and external_id RECONSTRUCTED (SDK attributes emailAddress, externalID; physical names unknown)';
COMMENT ON COLUMN cfg_person.is_agent IS 'CfgFlag: 1 = CFGFalse, 2 = CFGTrue (0 = CFGNoFlag)';
COMMENT ON COLUMN cfg_person.e_mail   IS 'RECONSTRUCTED name: resolve at start-up from the catalog';

CREATE TABLE cfg_agent_login (
  dbid              numeric(10) NOT NULL PRIMARY KEY,
  switch_dbid       numeric(10),
  tenant_dbid       numeric(10),
  login_code        varchar(255),
  state             integer,
  override          varchar(255),
  use_override      integer,
  sw_specific_type  integer,
  csid              numeric(10),
  switch_csid       numeric(10),
  tenant_csid       numeric(10),
  password          varchar(64)
);
COMMENT ON TABLE cfg_agent_login IS 'SOURCED [EDMX] all 12 columns, types, PK';

CREATE TABLE cfg_login_info (
  person_dbid       numeric(10) NOT NULL,
  agent_login_dbid  numeric(10) NOT NULL,
  wrapup_time       integer,
  person_csid       numeric(10),
  agent_login_csid  numeric(10),
  PRIMARY KEY (person_dbid, agent_login_dbid)
);
COMMENT ON TABLE cfg_login_info IS 'SOURCED [EDMX] all columns, types, PK (person <-> agent login)';

CREATE TABLE cfg_skill (
  dbid         numeric(10) NOT NULL PRIMARY KEY,
  name         varchar(255),
  tenant_dbid  numeric(10),
  state        integer,
  csid         numeric(10),
  tenant_csid  numeric(10)
);
COMMENT ON TABLE cfg_skill IS 'SOURCED [EDMX] all columns, types, PK';

CREATE TABLE cfg_skill_level (
  person_dbid  numeric(10) NOT NULL,
  skill_dbid   numeric(10) NOT NULL,
  level_       integer,
  person_csid  numeric(10),
  skill_csid   numeric(10),
  PRIMARY KEY (person_dbid, skill_dbid)
);
COMMENT ON TABLE cfg_skill_level IS 'SOURCED [EDMX] all columns, types, PK';

-- ---------------------------------------------------------------- groups
CREATE TABLE cfg_group (
  dbid              numeric(10) NOT NULL PRIMARY KEY,
  group_type        integer,
  tenant_dbid       numeric(10),
  name              varchar(255),
  cap_table_dbid    numeric(10),
  quota_table_dbid  numeric(10),
  state             integer,
  dn_group_type     integer,
  csid              numeric(10),
  tenant_csid       numeric(10),
  cap_table_csid    numeric(10),
  quota_table_csid  numeric(10),
  capacity_dbid     numeric(10),
  site_dbid         numeric(10),
  contract_dbid     numeric(10)
);
COMMENT ON TABLE cfg_group IS 'SOURCED-COLS [SQOOP] all 15 columns; one table for agent, place, DN and access groups; the VALUES of group_type are not public (assumed = CfgObjectType, 5 = agent group)';

CREATE TABLE cfg_agent_group (
  group_dbid  numeric(10) NOT NULL,
  agent_dbid  numeric(10) NOT NULL,
  group_csid  numeric(10),
  agent_csid  numeric(10),
  PRIMARY KEY (group_dbid, agent_dbid)
);
COMMENT ON TABLE cfg_agent_group IS 'SOURCED [EDMX] all columns, types, PK; explicit members only: a VIRTUAL agent group has no rows here';

-- ---------------------------------------------------------------- annex / options
CREATE TABLE cfg_flex_prop (
  dbid         numeric(10) NOT NULL,
  object_dbid  numeric(10),
  object_type  integer,
  parent_dbid  numeric(10),
  prop_name    varchar(255),
  prop_value   varchar(255),
  prop_type    integer,
  part         integer NOT NULL,
  csid         numeric(10),
  object_csid  numeric(10),
  parent_csid  numeric(10),
  PRIMARY KEY (dbid, part)
);
CREATE INDEX cfg_flex_prop_obj ON cfg_flex_prop (object_type, object_dbid);
CREATE INDEX cfg_flex_prop_par ON cfg_flex_prop (parent_dbid);
COMMENT ON TABLE cfg_flex_prop IS 'SOURCED [EDMX] all columns, types, PK (dbid, part): a value longer than 255 is split over several rows';
COMMENT ON COLUMN cfg_flex_prop.parent_dbid IS 'dbid of the enclosing section row; 0 or NULL on the section row itself (which of the two is not confirmed)';

-- ---------------------------------------------------------------- business attributes
CREATE TABLE cfg_enumerator (
  dbid          numeric(10) NOT NULL PRIMARY KEY,
  tenant_dbid   numeric(10),
  name          varchar(255),
  display_name  varchar(255),
  description   varchar(255),
  type          integer,
  state         integer,
  csid          numeric(10),
  tenant_csid   numeric(10)
);
COMMENT ON TABLE cfg_enumerator IS 'RECONSTRUCTED from SDK CfgEnumerator (DBID,tenantDBID,name,description,state,userProperties,type,displayName)';
COMMENT ON COLUMN cfg_enumerator.type IS 'CfgEnumeratorType: 1 InteractionOperationalAttribute, 2 Role, 3 ContactAttribute, 4 Custom';

CREATE TABLE cfg_enumerator_value (
  dbid             numeric(10) NOT NULL PRIMARY KEY,
  enumerator_dbid  numeric(10),
  tenant_dbid      numeric(10),
  name             varchar(255),
  display_name     varchar(255),
  description      varchar(255),
  is_default       integer,
  state            integer,
  csid             numeric(10),
  tenant_csid      numeric(10)
);
COMMENT ON TABLE cfg_enumerator_value IS 'RECONSTRUCTED from SDK CfgEnumeratorValue; filter key enumerator_dbid is documented';

-- ---------------------------------------------------------------- transaction (hybrid_integration)
CREATE TABLE cfg_transaction (
  dbid           numeric(10) NOT NULL PRIMARY KEY,
  tenant_dbid    numeric(10),
  name           varchar(255),
  type           integer,
  record_period  integer,
  alias          varchar(255),
  description    varchar(255),
  state          integer,
  csid           numeric(10),
  tenant_csid    numeric(10)
);
COMMENT ON TABLE cfg_transaction IS 'RECONSTRUCTED from SDK CfgTransaction; content of a List (type 21) is its annex in cfg_flex_prop (object_type 16)';

-- ---------------------------------------------------------------- folders
CREATE TABLE cfg_folder (
  dbid          numeric(10) NOT NULL PRIMARY KEY,
  name          varchar(255),
  type          integer,
  owner_type    integer,
  owner_dbid    numeric(10),
  parent_type   integer,
  parent_dbid   numeric(10),
  folder_class  integer,
  custom_type   integer,
  state         integer,
  csid          numeric(10)
);
CREATE INDEX cfg_folder_parent ON cfg_folder (parent_type, parent_dbid);
COMMENT ON TABLE cfg_folder IS 'RECONSTRUCTED from SDK CfgFolder: ownerID (tenant, switch, IVR or enumerator), parentID (folder or owner), type = CfgObjectType of the members';

CREATE TABLE cfg_folder_object (
  folder_dbid  numeric(10) NOT NULL,
  object_type  integer     NOT NULL,
  object_dbid  numeric(10) NOT NULL,
  PRIMARY KEY (object_type, object_dbid),
  UNIQUE (folder_dbid, object_type, object_dbid)
);
COMMENT ON TABLE cfg_folder_object IS 'RECONSTRUCTED from SDK CfgFolder.objectIDs (list of type+DBID); an object is in at most one folder; physical name unknown';

-- ---------------------------------------------------------------- history log (audit)
CREATE TABLE cfg_hdb_operation (
  id              numeric(10) NOT NULL PRIMARY KEY,
  operation_type  integer,
  object_type     integer,
  object_dbid     numeric(10),
  object_name     varchar(255),
  host_name       varchar(255),
  app_name        varchar(255),
  user_name       varchar(255),
  op_time         timestamp without time zone
);
CREATE INDEX cfg_hdb_operation_obj ON cfg_hdb_operation (object_type, object_dbid);
COMMENT ON TABLE cfg_hdb_operation IS 'RECONSTRUCTED: one row per CfgAuditEntry (what, who, when). That the history is in the Config DB, that records expire and that its time has no time zone is documented; names and columns are not';
COMMENT ON COLUMN cfg_hdb_operation.operation_type IS 'assumed 1 created, 2 modified, 3 deleted';

CREATE TABLE cfg_hdb_object (
  operation_id   numeric(10) NOT NULL,
  seq            integer     NOT NULL,
  field_name     varchar(255),
  field_action   integer,
  old_value      varchar(255),
  PRIMARY KEY (operation_id, seq)
);
COMMENT ON TABLE cfg_hdb_object IS 'RECONSTRUCTED: one row per CfgHistoryRecord (former value and action)';

-- ---------------------------------------------------------------- locale (enumeration captions)
CREATE TABLE cfg_locale (
  lcid        integer NOT NULL,
  lc_class    integer NOT NULL,
  lc_type     integer NOT NULL,
  lc_subtype  integer NOT NULL,
  lc_value    varchar(255),
  PRIMARY KEY (lcid, lc_class, lc_type, lc_subtype)
);
COMMENT ON TABLE cfg_locale IS 'SOURCED-COLS: key columns and lc_value from two published readers; lc_type 0 object state, 1 switch type, 5 DN type, 6 application type, 8 DN group type, 11 OS type';

COMMIT;
