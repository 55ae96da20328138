-- A small tenant for schema.sql. All names, numbers and secrets are invented.
BEGIN;
SET search_path = genesys;

INSERT INTO cfg_locale (lcid, lc_class, lc_type, lc_subtype, lc_value) VALUES
  (1033, 0, 0, 1, 'Enabled'),
  (1033, 0, 0, 2, 'Disabled'),
  (1033, 0, 1, 72, 'SIP Switch'),
  (1033, 0, 5, 1, 'Extension'),
  (1033, 0, 5, 2, 'ACD Position'),
  (1033, 0, 5, 3, 'ACD Queue'),
  (1033, 0, 5, 4, 'Routing Point'),
  (1033, 0, 5, 5, 'Virtual Queue'),
  (1033, 0, 5, 14, 'Trunk'),
  (1033, 0, 5, 22, 'Routing Queue');

-- tenant 102 exists only to prove that a reader keeps to its own tenant
INSERT INTO cfg_tenant (dbid, is_serv_provider, name, is_super_tenant, state, parent_tenant_dbid) VALUES
  (1, 2, 'Environment', 2, 1, 0),
  (101, 1, 'tenant001', 1, 1, 1),
  (102, 1, 'tenant002', 1, 1, 1);

INSERT INTO cfg_switch (dbid, tenant_dbid, phys_switch_dbid, type, name, link_type, state) VALUES
  (101, 101, 101, 72, 'SIP_Switch', 1, 1),
  (102, 101, 102, 72, 'VQ-Switch', 1, 1);

-- persons of tenant 101 are 101..112 (twelve):
--   101 agent, e-mail is the user name          102 agent, e-mail is the employee id (wins over E-Mail field)
--   103 agent, e-mail only in E-Mail            104 supervisor (roles=Supervisor)
--   105 supervisor (roles=Agent,Supervisor)     106 role Supervisor but Is Agent off -> non-agent
--   107 non-agent                               108 no e-mail anywhere -> not synchronized, error logged
--   109 nothing that is a valid e-mail -> ditto 110 disabled -> inactive
--   111 in folder Back Office -> out of scope   112 no first/last name -> display name is the user name
--   100 is the product's own default user; 113 belongs to tenant 102
INSERT INTO cfg_person (dbid, tenant_dbid, last_name, first_name, employee_id, user_name, is_agent, is_admin, state, e_mail, external_id) VALUES
  (100, 1, 'default', 'default', 'default', 'default', 1, 2, 1, NULL, NULL),
  (101, 101, 'Smith', 'Alice', 'E1001', 'alice.smith@example.com', 2, 1, 1, 'alice.smith@example.com', NULL),
  (102, 101, 'Jones', 'Bob', 'bob.jones@example.com', 'bjones', 2, 1, 1, 'bob@home.example.net', NULL),
  (103, 101, 'Diaz', 'Carla', 'E1003', 'cdiaz', 2, 1, 1, 'carla.diaz@example.com', NULL),
  (104, 101, 'Khan', 'Dina', 'E1004', 'dina.khan@example.com', 2, 1, 1, 'dina.khan@example.com', NULL),
  (105, 101, 'Evans', 'Eric', 'E1005', 'eevans', 2, 1, 1, 'eric.evans@example.com', 'HR-5'),
  (106, 101, 'Frost', 'Fay', 'E1006', 'ffrost', 1, 1, 1, 'fay.frost@example.com', NULL),
  (107, 101, 'Green', 'Gus', 'E1007', 'gus.green@example.com', 1, 2, 1, NULL, NULL),
  (108, 101, 'Lee', 'Hana', 'E1008', 'hlee', 2, 1, 1, NULL, NULL),
  (109, 101, 'Ivanov', 'Ivan', 'E1009', 'ivan@@bad', 2, 1, 1, 'ivan(at)example.com', NULL),
  (110, 101, 'Jansen', 'Joke', 'E1010', 'joke.jansen@example.com', 2, 1, 2, 'joke.jansen@example.com', NULL),
  (111, 101, 'Kim', 'Kay', 'E1011', 'kay.kim@example.com', 2, 1, 1, 'kay.kim@example.com', NULL),
  (112, 101, NULL, NULL, 'E1012', 'lfox@example.com', 2, 1, 1, 'lfox@example.com', NULL),
  (113, 102, 'Other', 'Otto', 'E2001', 'otto.other@example.org', 2, 1, 1, 'otto.other@example.org', NULL);

-- 103/104 differ only by case (both in scope): the documented name conflict; 107 is out of scope
INSERT INTO cfg_skill (dbid, name, tenant_dbid, state) VALUES
  (101, 'English', 101, 1),
  (102, 'Spanish', 101, 1),
  (103, 'Billing', 101, 1),
  (104, 'billing', 101, 1),
  (105, 'Sales', 101, 1),
  (106, 'Support', 101, 1),
  (107, 'Legacy', 101, 1),
  (108, 'English', 102, 1);

-- English ranges 1..25 (25 is above skill_level_max_value 10); Support has a level 0; Legacy has MIN = MAX
INSERT INTO cfg_skill_level (person_dbid, skill_dbid, level_) VALUES
  (101, 101, 10),
  (101, 105, 5),
  (101, 103, 3),
  (102, 101, 7),
  (102, 103, 8),
  (102, 104, 1),
  (103, 101, 1),
  (103, 102, 10),
  (103, 105, 10),
  (104, 101, 25),
  (104, 105, 1),
  (105, 101, 5),
  (105, 106, 6),
  (105, 102, 3),
  (108, 105, 4),
  (110, 105, 9),
  (111, 107, 5),
  (112, 106, 0),
  (112, 105, 2),
  (113, 108, 3);

INSERT INTO cfg_agent_login (dbid, switch_dbid, tenant_dbid, login_code, state) VALUES
  (101, 101, 101, '7001', 1),
  (102, 101, 101, '7002', 1),
  (103, 101, 101, '7003', 1),
  (104, 101, 101, '7004', 1),
  (105, 101, 101, '7005', 1),
  (106, 101, 101, '7006', 1),
  (107, 101, 101, '7007', 1),
  (108, 101, 101, '7008', 1),
  (109, 101, 101, '7009', 1),
  (110, 101, 101, '7010', 1),
  (111, 101, 101, '7011', 1),
  (112, 101, 101, '7012', 1);

INSERT INTO cfg_login_info (person_dbid, agent_login_dbid, wrapup_time) VALUES
  (101, 101, 0),
  (102, 102, 0),
  (103, 103, 0),
  (104, 104, 0),
  (105, 105, 0),
  (108, 108, 0),
  (109, 109, 0),
  (110, 110, 0),
  (111, 111, 0),
  (112, 112, 0);

-- DN types: 1 extension, 3 ACD queue, 4 routing point, 5 virtual queue, 14 trunk, 22 routing queue
--   124 and 130 are virtual queues of the same name on two switches; 131/132 differ only by case;
--   134 has no agent group; 135 is out of scope (folder Reporting); 136 is disabled
INSERT INTO cfg_dn (dbid, switch_dbid, tenant_dbid, type, number_, name, login_flag, register_all, route_type, state, place_dbid) VALUES
  (101, 101, 101, 1, '5001', 'Ext_5001', 1, 2, 1, 1, 101),
  (102, 101, 101, 1, '5002', 'Ext_5002', 1, 2, 1, 1, 102),
  (103, 101, 101, 1, '5003', 'Ext_5003', 1, 2, 1, 1, 103),
  (104, 101, 101, 1, '5004', 'Ext_5004', 1, 2, 1, 1, 104),
  (105, 101, 101, 1, '5005', 'Ext_5005', 1, 2, 1, 1, 105),
  (106, 101, 101, 1, '5006', 'Ext_5006', 1, 2, 1, 1, 106),
  (107, 101, 101, 1, '5007', 'Ext_5007', 1, 2, 1, 1, 107),
  (108, 101, 101, 1, '5008', 'Ext_5008', 1, 2, 1, 1, 108),
  (109, 101, 101, 1, '5009', 'Ext_5009', 1, 2, 1, 1, 109),
  (110, 101, 101, 1, '5010', 'Ext_5010', 1, 2, 1, 1, 110),
  (120, 101, 101, 4, '8001', 'RP_Main_SIP_Switch', 1, 2, 1, 1, NULL),
  (121, 101, 101, 3, 'Q_Legacy', 'Q_Legacy_SIP_Switch', 1, 2, 1, 1, NULL),
  (122, 101, 101, 22, 'RQ_Overflow', 'RQ_Overflow_SIP_Switch', 1, 2, 1, 1, NULL),
  (123, 101, 101, 14, 'Trunk_A', 'Trunk_A_SIP_Switch', 1, 2, 1, 1, NULL),
  (124, 101, 101, 5, 'VQ_Sales_Leads', 'VQ_Sales_Leads_SIP_Switch', 1, 2, 1, 1, NULL),
  (130, 102, 101, 5, 'VQ_Sales_Leads', 'VQ_Sales_Leads_VQ-Switch', 1, 2, 1, 1, NULL),
  (131, 102, 101, 5, 'VQ_Billing', 'VQ_Billing_VQ-Switch', 1, 2, 1, 1, NULL),
  (132, 102, 101, 5, 'vq_billing', 'vq_billing_VQ-Switch', 1, 2, 1, 1, NULL),
  (133, 102, 101, 5, 'VQ_Support', 'VQ_Support_VQ-Switch', 1, 2, 1, 1, NULL),
  (134, 102, 101, 5, 'VQ_Nobody', 'VQ_Nobody_VQ-Switch', 1, 2, 1, 1, NULL),
  (135, 102, 101, 5, 'VQ_Support_Reporting', 'VQ_Support_Reporting_VQ-Switch', 1, 2, 1, 1, NULL),
  (136, 102, 101, 5, 'VQ_Retired', 'VQ_Retired_VQ-Switch', 1, 2, 1, 2, NULL);

INSERT INTO cfg_place (dbid, tenant_dbid, name, state) VALUES
  (101, 101, 'Place_5001', 1),
  (102, 101, 'Place_5002', 1),
  (103, 101, 'Place_5003', 1),
  (104, 101, 'Place_5004', 1),
  (105, 101, 'Place_5005', 1),
  (106, 101, 'Place_5006', 1),
  (107, 101, 'Place_5007', 1),
  (108, 101, 'Place_5008', 1),
  (109, 101, 'Place_5009', 1),
  (110, 101, 'Place_5010', 1);

-- 101,104 are virtual by expression; 102,103 list their members; 105 has no WFM_queue_number; 106 has one but is out of scope;
--   107 names a queue that does not exist; 108 is a place group and 109 an access group in the same table
INSERT INTO cfg_group (dbid, group_type, tenant_dbid, name, state, dn_group_type) VALUES
  (101, 5, 101, 'VAG_Sales', 1, 0),
  (102, 5, 101, 'VAG_Billing', 1, 0),
  (103, 5, 101, 'AG_Support', 1, 0),
  (104, 5, 101, 'VAG_Support_ES', 1, 0),
  (105, 5, 101, 'AG_NoLink', 1, 0),
  (106, 5, 101, 'AG_Outside', 1, 0),
  (107, 5, 101, 'VAG_Dangling', 1, 0),
  (108, 6, 101, 'PG_Floor1', 1, 0),
  (109, 21, 101, 'Users', 1, 0);

INSERT INTO cfg_agent_group (group_dbid, agent_dbid) VALUES
  (102, 101),
  (102, 102),
  (102, 108),
  (103, 105),
  (103, 112),
  (103, 111),
  (105, 101),
  (106, 111);

-- selected: 101 (by name), 102 and 103 (htcc/contains=dispositions).  Not selected: 104 (no annex), 105 (type is not
--   Interaction Operational Attribute), 106 (annex value 'Dispositions': the match is case-sensitive)
INSERT INTO cfg_enumerator (dbid, tenant_dbid, name, display_name, type, state) VALUES
  (101, 101, 'DispositionCode', 'Disposition Code', 1, 1),
  (102, 101, 'Tech Support Disposition Codes', 'Tech Support Disposition Codes', 1, 1),
  (103, 101, 'Billing Disputes Disposition Codes', 'Billing Disputes Disposition Codes', 1, 1),
  (104, 101, 'CaseTopic', 'Case topic', 1, 1),
  (105, 101, 'Custom Dispositions', 'Custom dispositions', 4, 1),
  (106, 101, 'Mixed Case Dispositions', 'Mixed case', 1, 1);

-- 'Resolved' occurs twice -> one wrap-up code; 'resolved' collides by case; 103 is disabled
INSERT INTO cfg_enumerator_value (dbid, enumerator_dbid, tenant_dbid, name, display_name, is_default, state) VALUES
  (101, 101, 101, 'Resolved', 'Resolved', 2, 1),
  (102, 101, 101, 'Follow up', 'Follow up', 1, 1),
  (103, 101, 101, 'Wrong number', 'Wrong number', 1, 2),
  (104, 102, 101, 'Resolved', 'Resolved (tech)', 2, 1),
  (105, 102, 101, 'Escalated', 'Escalated', 1, 1),
  (106, 103, 101, 'Refund granted', 'Refund granted', 1, 1),
  (107, 103, 101, 'resolved', 'resolved', 1, 1),
  (108, 104, 101, 'Topic A', 'Topic A', 1, 1),
  (109, 105, 101, 'Never', 'Never', 1, 1),
  (110, 106, 101, 'Nor this', 'Nor this', 1, 1);

INSERT INTO cfg_transaction (dbid, tenant_dbid, name, type, alias, description, state) VALUES
  (101, 101, 'hybrid_integration', 21, 'hybrid_integration', 'EX Engage Connector', 1),
  (102, 101, 'PhoneBook', 21, 'PhoneBook', 'unrelated list', 1),
  (103, 102, 'hybrid_integration', 21, 'hybrid_integration', 'of another tenant', 1);

-- two listed folder names are meant for tests: EX_EVOLUTION (with subfolders) and EX_PILOT (not at root level)
INSERT INTO cfg_folder (dbid, name, type, owner_type, owner_dbid, parent_type, parent_dbid, folder_class, custom_type, state) VALUES
  (201, 'Persons', 3, 7, 101, 7, 101, 1, 0, 1),
  (202, 'EX_EVOLUTION', 3, 7, 101, 22, 201, 1, 0, 1),
  (203, 'Sales', 3, 7, 101, 22, 202, 1, 0, 1),
  (204, 'Tier 2', 3, 7, 101, 22, 203, 1, 0, 1),
  (205, 'Back Office', 3, 7, 101, 22, 201, 1, 0, 1),
  (206, 'LOB', 3, 7, 101, 22, 201, 1, 0, 1),
  (207, 'EX_PILOT', 3, 7, 101, 22, 206, 1, 0, 1),
  (211, 'Skills', 13, 7, 101, 7, 101, 1, 0, 1),
  (212, 'EX_EVOLUTION', 13, 7, 101, 22, 211, 1, 0, 1),
  (213, 'Languages', 13, 7, 101, 22, 212, 1, 0, 1),
  (221, 'Agent Groups', 5, 7, 101, 7, 101, 1, 0, 1),
  (222, 'EX_EVOLUTION', 5, 7, 101, 22, 221, 1, 0, 1),
  (223, 'Virtual', 5, 7, 101, 22, 222, 1, 0, 1),
  (231, 'DNs', 2, 1, 101, 1, 101, 1, 0, 1),
  (232, 'EX_EVOLUTION', 2, 1, 101, 22, 231, 1, 0, 1),
  (233, 'Extensions', 2, 1, 101, 22, 232, 1, 0, 1),
  (241, 'DNs', 2, 1, 102, 1, 102, 1, 0, 1),
  (242, 'EX_EVOLUTION', 2, 1, 102, 22, 241, 1, 0, 1),
  (243, 'Reporting', 2, 1, 102, 22, 241, 1, 0, 1),
  (251, 'Transactions', 16, 7, 101, 7, 101, 1, 0, 1),
  (261, 'Business Attributes', 35, 7, 101, 7, 101, 1, 0, 1);

INSERT INTO cfg_folder_object (folder_dbid, object_type, object_dbid) VALUES
  (202, 3, 101),
  (202, 3, 102),
  (202, 3, 106),
  (202, 3, 107),
  (203, 3, 103),
  (203, 3, 104),
  (203, 3, 108),
  (203, 3, 110),
  (204, 3, 105),
  (204, 3, 112),
  (205, 3, 111),
  (207, 3, 109),
  (213, 13, 101),
  (213, 13, 102),
  (212, 13, 103),
  (212, 13, 104),
  (212, 13, 105),
  (212, 13, 106),
  (211, 13, 107),
  (233, 2, 101),
  (233, 2, 102),
  (233, 2, 103),
  (233, 2, 104),
  (233, 2, 105),
  (233, 2, 106),
  (233, 2, 107),
  (233, 2, 108),
  (231, 2, 109),
  (231, 2, 110),
  (231, 2, 123),
  (232, 2, 120),
  (232, 2, 121),
  (232, 2, 122),
  (232, 2, 124),
  (242, 2, 130),
  (242, 2, 131),
  (242, 2, 132),
  (242, 2, 133),
  (242, 2, 134),
  (242, 2, 136),
  (243, 2, 135),
  (223, 5, 101),
  (223, 5, 102),
  (223, 5, 104),
  (223, 5, 107),
  (222, 5, 103),
  (222, 5, 105),
  (221, 5, 106),
  (261, 35, 101),
  (261, 35, 102),
  (261, 35, 103),
  (261, 35, 104),
  (261, 35, 105),
  (261, 35, 106),
  (251, 16, 101),
  (251, 16, 102);

-- section rows have parent_dbid 0; key rows point at their section; agent_role_names is longer than 255 and so has two parts
INSERT INTO cfg_flex_prop (dbid, object_dbid, object_type, parent_dbid, prop_name, prop_value, prop_type, part) VALUES
  (1001, 104, 3, 0, 'htcc', NULL, 3, 1),
  (1002, 104, 3, 1001, 'roles', 'Supervisor', 0, 1),
  (1003, 105, 3, 0, 'htcc', NULL, 3, 1),
  (1004, 105, 3, 1003, 'roles', 'Agent,Supervisor', 0, 1),
  (1005, 105, 3, 0, 'interaction-workspace', NULL, 3, 1),
  (1006, 105, 3, 1005, 'main-window.position', 'top', 0, 1),
  (1007, 106, 3, 0, 'htcc', NULL, 3, 1),
  (1008, 106, 3, 1007, 'roles', 'Supervisor', 0, 1),
  (1009, 103, 3, 0, 'htcc', NULL, 3, 1),
  (1010, 103, 3, 1009, 'roles', 'Agent', 0, 1),
  (1011, 101, 5, 0, 'virtual', NULL, 3, 1),
  (1012, 101, 5, 1011, 'script', 'Skill("Sales") > 1', 0, 1),
  (1013, 101, 5, 0, 'hybrid', NULL, 3, 1),
  (1014, 101, 5, 1013, 'WFM_queue_number', 'VQ_Sales_Leads', 0, 1),
  (1015, 102, 5, 0, 'hybrid', NULL, 3, 1),
  (1016, 102, 5, 1015, 'WFM_queue_number', 'VQ_Billing', 0, 1),
  (1017, 103, 5, 0, 'hybrid', NULL, 3, 1),
  (1018, 103, 5, 1017, 'WFM_queue_number', 'VQ_Support', 0, 1),
  (1019, 104, 5, 0, 'virtual', NULL, 3, 1),
  (1020, 104, 5, 1019, 'script', '(Skill("Spanish") >= 3) & SkillExists("English")', 0, 1),
  (1021, 104, 5, 0, 'hybrid', NULL, 3, 1),
  (1022, 104, 5, 1021, 'WFM_queue_number', 'VQ_Support', 0, 1),
  (1023, 106, 5, 0, 'hybrid', NULL, 3, 1),
  (1024, 106, 5, 1023, 'WFM_queue_number', 'VQ_Sales_Leads', 0, 1),
  (1025, 107, 5, 0, 'virtual', NULL, 3, 1),
  (1026, 107, 5, 1025, 'script', 'LoggedIn("SIP_Switch") & Skill("Support") > 0', 0, 1),
  (1027, 107, 5, 0, 'hybrid', NULL, 3, 1),
  (1028, 107, 5, 1027, 'WFM_queue_number', 'VQ_Does_Not_Exist', 0, 1),
  (1029, 102, 35, 0, 'htcc', NULL, 3, 1),
  (1030, 102, 35, 1029, 'contains', 'dispositions', 0, 1),
  (1031, 103, 35, 0, 'htcc', NULL, 3, 1),
  (1032, 103, 35, 1031, 'contains', 'dispositions', 0, 1),
  (1033, 105, 35, 0, 'htcc', NULL, 3, 1),
  (1034, 105, 35, 1033, 'contains', 'dispositions', 0, 1),
  (1035, 106, 35, 0, 'htcc', NULL, 3, 1),
  (1036, 106, 35, 1035, 'contains', 'Dispositions', 0, 1),
  (1037, 101, 2, 0, 'TServer', NULL, 3, 1),
  (1038, 101, 2, 1037, 'contact', 'sip:5001@192.0.2.10', 0, 1),
  (1039, 101, 16, 0, 'general', NULL, 3, 1),
  (1040, 101, 16, 1039, 'organization_sname', 'acme-ex', 0, 1),
  (1041, 101, 16, 1039, 'organization_id', '6662cb10-0d4d-4710-b979-db69011e66fd', 0, 1),
  (1042, 101, 16, 1039, 'base_service_url', 'https://api.mypurecloud.example', 0, 1),
  (1043, 101, 16, 1039, 'base_auth_url', 'https://login.mypurecloud.example', 0, 1),
  (1044, 101, 16, 1039, 'region', 'mypurecloud.example', 0, 1),
  (1045, 101, 16, 0, 'config_sync', NULL, 3, 1),
  (1046, 101, 16, 1045, 'client_id', '11111111-2222-3333-4444-555555555555', 0, 1),
  (1047, 101, 16, 1045, 'client_secret', 'not-a-secret-config-sync', 0, 1),
  (1048, 101, 16, 1045, 'skill_level_min_value', '0', 0, 1),
  (1049, 101, 16, 1045, 'skill_level_max_value', '10', 0, 1),
  (1050, 101, 16, 1045, 'nonagent_role_names', 'Employee', 0, 1),
  (1051, 101, 16, 1045, 'agent_role_names', 'Employee,User,Custom Role 01,Custom Role 02,Custom Role 03,Custom Role 04,Custom Role 05,Custom Role 06,Custom Role 07,Custom Role 08,Custom Role 09,Custom Role 10,Custom Role 11,Custom Role 12,Custom Role 13,Custom Role 14,Custom Role 15,Custom Role 16,C', 0, 1),
  (1051, 101, 16, 1045, 'agent_role_names', 'ustom Role 17,Custom Role 18,Custom Role 19,Custom Role 20,Custom Role 21,Custom Role 22,Custom Role 23,Custom Role 24,Custom Role 25', 0, 2),
  (1052, 101, 16, 1045, 'supervisor_role_names', 'Employee,User,Supervisor', 0, 1),
  (1053, 101, 16, 0, 'agent_state_sync', NULL, 3, 1),
  (1054, 101, 16, 1053, 'client_id', '11111111-2222-3333-4444-555555555555', 0, 1),
  (1055, 101, 16, 1053, 'client_secret', 'not-a-secret-agent-state', 0, 1),
  (1056, 101, 16, 0, 'conversation_provider', NULL, 3, 1),
  (1057, 101, 16, 1056, 'client_id', '11111111-2222-3333-4444-555555555555', 0, 1),
  (1058, 101, 16, 1056, 'client_secret', 'not-a-secret-conversations', 0, 1),
  (1059, 101, 16, 1056, 'recording_enabled', 'True', 0, 1),
  (1060, 101, 16, 1056, 'sta_default_programid', '99999999-8888-7777-6666-555555555555', 0, 1),
  (1061, 101, 16, 1056, 'sta_default_language', 'en-US', 0, 1),
  (1062, 101, 16, 1056, 'sta_userdata_language_key', 'language', 0, 1),
  (1063, 101, 16, 0, 'recording-uploader.exec.transientStorage', NULL, 3, 1),
  (1064, 101, 16, 1063, 'type', 'WebDAV', 0, 1),
  (1065, 101, 16, 1063, 'username', 'webdav', 0, 1),
  (1066, 101, 16, 1063, 'password', 'not-a-secret-webdav', 0, 1),
  (1067, 101, 16, 1063, 'url', 'http://webdav.example/recordings', 0, 1),
  (1068, 101, 16, 0, 'recording-uploader.exec.genesysCloud', NULL, 3, 1),
  (1069, 101, 16, 1068, 'client_id', '11111111-2222-3333-4444-555555555555', 0, 1),
  (1070, 101, 16, 1068, 'password', 'not-a-secret-uploader', 0, 1),
  (1071, 102, 16, 0, 'contacts', NULL, 3, 1),
  (1072, 102, 16, 1071, 'Front desk', '5000', 0, 1),
  (1073, 103, 16, 0, 'general', NULL, 3, 1),
  (1074, 103, 16, 1073, 'organization_sname', 'other-ex', 0, 1);

-- DN 133 has no history at all; 134 was created but never modified
INSERT INTO cfg_hdb_operation (id, operation_type, object_type, object_dbid, object_name, host_name, app_name, user_name, op_time) VALUES
  (5001, 1, 2, 130, 'VQ_Sales_Leads', 'cfg-host', 'GAX', 'default', '2023-03-01 09:00:00'),
  (5002, 2, 2, 130, 'VQ_Sales_Leads', 'cfg-host', 'GAX', 'default', '2023-04-19 13:05:25'),
  (5003, 2, 2, 131, 'VQ_Billing', 'cfg-host', 'GAX', 'dina.khan@example.com', '2024-01-15 08:30:00'),
  (5004, 2, 3, 103, 'cdiaz', 'cfg-host', 'GAX', 'default', '2024-02-02 10:11:12'),
  (5005, 1, 2, 134, 'VQ_Nobody', 'cfg-host', 'GAX', 'default', '2024-03-03 00:00:00');

INSERT INTO cfg_hdb_object (operation_id, seq, field_name, field_action, old_value) VALUES
  (5002, 1, 'name', 2, 'VQ_Sales'),
  (5004, 1, 'emailAddress', 2, 'c.diaz@example.com');

COMMIT;
