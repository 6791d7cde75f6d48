--
-- PostgreSQL database dump
--

\restrict x
-- Dumped by pg_dump version 16.4

SET statement_timeout = 0;
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
SET client_encoding = 'UTF8';
CREATE TABLE public."LiteLLM_SpendLogs" (
    request_id text NOT NULL
);
COPY public."LiteLLM_DailyUserSpend" (id, user_id, date, api_key, model, prompt_tokens, api_requests) FROM stdin;
d0	u1	2026-11-02	k0	m	99999	9
d1	u1	2026-11-02	k1	m	99999	9
d2	u1	2026-11-02	k2	m	99999	9
d3	u1	2026-11-02	k3	m	99999	9
d4	u1	2026-11-02	k4	m	99999	9
d5	u1	2026-11-02	k5	m	99999	9
d6	u1	2026-11-02	k6	m	99999	9
d7	u1	2026-11-02	k7	m	99999	9
d8	u1	2026-11-02	k8	m	99999	9
d9	u1	2026-11-02	k9	m	99999	9
d10	u1	2026-11-02	k10	m	99999	9
d11	u1	2026-11-02	k11	m	99999	9
d12	u1	2026-11-02	k12	m	99999	9
d13	u1	2026-11-02	k13	m	99999	9
d14	u1	2026-11-02	k14	m	99999	9
d15	u1	2026-11-02	k15	m	99999	9
d16	u1	2026-11-02	k16	m	99999	9
d17	u1	2026-11-02	k17	m	99999	9
d18	u1	2026-11-02	k18	m	99999	9
d19	u1	2026-11-02	k19	m	99999	9
d20	u1	2026-11-02	k20	m	99999	9
d21	u1	2026-11-02	k21	m	99999	9
d22	u1	2026-11-02	k22	m	99999	9
d23	u1	2026-11-02	k23	m	99999	9
d24	u1	2026-11-02	k24	m	99999	9
d25	u1	2026-11-02	k25	m	99999	9
d26	u1	2026-11-02	k26	m	99999	9
d27	u1	2026-11-02	k27	m	99999	9
d28	u1	2026-11-02	k28	m	99999	9
d29	u1	2026-11-02	k29	m	99999	9
d30	u1	2026-11-02	k30	m	99999	9
d31	u1	2026-11-02	k31	m	99999	9
d32	u1	2026-11-02	k32	m	99999	9
d33	u1	2026-11-02	k33	m	99999	9
d34	u1	2026-11-02	k34	m	99999	9
d35	u1	2026-11-02	k35	m	99999	9
d36	u1	2026-11-02	k36	m	99999	9
d37	u1	2026-11-02	k37	m	99999	9
d38	u1	2026-11-02	k38	m	99999	9
d39	u1	2026-11-02	k39	m	99999	9
\.

COPY public."LiteLLM_SpendLogs" (request_id, call_type, api_key, spend, total_tokens, prompt_tokens, completion_tokens, "startTime", "endTime", "completionStartTime", model, model_group, custom_llm_provider, user, metadata, cache_hit, request_tags, end_user, team_id, status) FROM stdin;
chatcmpl-0	acompletion	88dc	0.006588	4540	4280	260	2026-11-02 09:00:00.000	2026-11-02 09:00:04.000	2026-11-02 09:00:01.000	gpt-4.1	gpt-4.1	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 4280, "completion_tokens": 260, "total_tokens": 4540, "prompt_tokens_details": {"cached_tokens": 3543, "audio_tokens": 0}}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-1	acompletion	88dc	0.000483	9317	8548	769	2026-11-02 09:01:00.000	2026-11-02 09:01:04.000	2026-11-02 09:01:01.000	claude-sonnet-4-5	claude-sonnet-4-5	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 8548, "completion_tokens": 769, "total_tokens": 9317, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": null}, "cache_read_input_tokens": 4915, "cache_creation_input_tokens": 3545}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-2	acompletion	88dc	0.006826	4562	3944	618	2026-11-02 09:02:00.000	2026-11-02 09:02:04.000	2026-11-02 09:02:01.000	claude-sonnet-4-5	claude-sonnet-4-5	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 3944, "completion_tokens": 618, "total_tokens": 4562, "prompt_tokens_details": {"cached_tokens": 3860, "audio_tokens": null}, "cache_read_input_tokens": 3860, "cache_creation_input_tokens": 3599}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-3	acompletion	88dc	8e-06	697	10	687	2026-11-02 09:03:00.000	2026-11-02 09:03:04.000	2026-11-02 09:03:01.000	claude-sonnet-4-5	claude-sonnet-4-5	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 10, "completion_tokens": 687, "total_tokens": 697, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": null}, "cache_read_input_tokens": 4991, "cache_creation_input_tokens": 2487}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-4	acompletion	88dc	0	0	0	0	2026-11-02 09:04:00.000	2026-11-02 09:04:04.000	2026-11-02 09:04:01.000	gpt-4.1	gpt-4.1	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": null, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	failure
chatcmpl-5	acompletion	88dc	0	4348	3986	362	2026-11-02 09:05:00.000	2026-11-02 09:05:04.000	2026-11-02 09:05:01.000	gpt-4.1	gpt-4.1	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 3986, "completion_tokens": 362, "total_tokens": 4348}, "additional_usage_values": {}}	True	["prod", "a\\\\b"]		\N	success
chatcmpl-6	aembedding	88dc	0.005976	6800	6800	0	2026-11-02 09:06:00.000	2026-11-02 09:06:04.000	2026-11-02 09:06:01.000	text-embedding-3-small	text-embedding-3-small	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 6800, "completion_tokens": 0, "total_tokens": 6800}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-7	acompletion	88dc	0.001893	4512	3646	30	2026-11-02 09:07:00.000	2026-11-02 09:07:04.000	2026-11-02 09:07:01.000	xai/grok-4	xai/grok-4	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 3646, "completion_tokens": 30, "total_tokens": 4512, "completion_tokens_details": {"reasoning_tokens": 836}}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-8	acompletion	88dc	0.005596	7079	6333	746	2026-11-02 09:08:00.000	2026-11-02 09:08:04.000	2026-11-02 09:08:01.000	gpt-4.1	gpt-4.1	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 6333, "completion_tokens": 746, "total_tokens": 7079, "prompt_tokens_details": {"cached_tokens": 3215, "audio_tokens": 0}}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-9	acompletion	88dc	0.001893	5686	4975	711	2026-11-02 09:09:00.000	2026-11-02 09:09:04.000	2026-11-02 09:09:01.000	claude-sonnet-4-5	claude-sonnet-4-5	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 4975, "completion_tokens": 711, "total_tokens": 5686, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": null}, "cache_read_input_tokens": 1253, "cache_creation_input_tokens": 3702}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-10	acompletion	88dc	0.000182	4646	4323	323	2026-11-02 09:10:00.000	2026-11-02 09:10:04.000	2026-11-02 09:10:01.000	claude-sonnet-4-5	claude-sonnet-4-5	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 4323, "completion_tokens": 323, "total_tokens": 4646, "prompt_tokens_details": {"cached_tokens": 4265, "audio_tokens": null}, "cache_read_input_tokens": 4265, "cache_creation_input_tokens": 1185}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-11	acompletion	88dc	0.004299	151	14	137	2026-11-02 09:11:00.000	2026-11-02 09:11:04.000	2026-11-02 09:11:01.000	claude-sonnet-4-5	claude-sonnet-4-5	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 14, "completion_tokens": 137, "total_tokens": 151, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": null}, "cache_read_input_tokens": 4703, "cache_creation_input_tokens": 1072}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-12	acompletion	88dc	0	0	0	0	2026-11-02 09:12:00.000	2026-11-02 09:12:04.000	2026-11-02 09:12:01.000	gpt-4.1	gpt-4.1	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": null, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	failure
chatcmpl-13	acompletion	88dc	0	8915	8727	188	2026-11-02 09:13:00.000	2026-11-02 09:13:04.000	2026-11-02 09:13:01.000	gpt-4.1	gpt-4.1	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 8727, "completion_tokens": 188, "total_tokens": 8915}, "additional_usage_values": {}}	True	["prod", "a\\\\b"]		\N	success
chatcmpl-14	aembedding	88dc	0.00735	4153	4153	0	2026-11-02 09:14:00.000	2026-11-02 09:14:04.000	2026-11-02 09:14:01.000	text-embedding-3-small	text-embedding-3-small	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 4153, "completion_tokens": 0, "total_tokens": 4153}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-15	acompletion	88dc	0.005177	9331	7722	779	2026-11-02 09:15:00.000	2026-11-02 09:15:04.000	2026-11-02 09:15:01.000	xai/grok-4	xai/grok-4	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 7722, "completion_tokens": 779, "total_tokens": 9331, "completion_tokens_details": {"reasoning_tokens": 830}}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-16	acompletion	88dc	0.002769	9069	8845	224	2026-11-02 09:16:00.000	2026-11-02 09:16:04.000	2026-11-02 09:16:01.000	gpt-4.1	gpt-4.1	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 8845, "completion_tokens": 224, "total_tokens": 9069, "prompt_tokens_details": {"cached_tokens": 3559, "audio_tokens": 0}}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-17	acompletion	88dc	0.008295	6777	5897	880	2026-11-02 09:17:00.000	2026-11-02 09:17:04.000	2026-11-02 09:17:01.000	claude-sonnet-4-5	claude-sonnet-4-5	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 5897, "completion_tokens": 880, "total_tokens": 6777, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": null}, "cache_read_input_tokens": 3473, "cache_creation_input_tokens": 2399}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-18	acompletion	88dc	0.002775	2364	1724	640	2026-11-02 09:18:00.000	2026-11-02 09:18:04.000	2026-11-02 09:18:01.000	claude-sonnet-4-5	claude-sonnet-4-5	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 1724, "completion_tokens": 640, "total_tokens": 2364, "prompt_tokens_details": {"cached_tokens": 1685, "audio_tokens": null}, "cache_read_input_tokens": 1685, "cache_creation_input_tokens": 3021}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-19	acompletion	88dc	0.000459	227	72	155	2026-11-02 09:19:00.000	2026-11-02 09:19:04.000	2026-11-02 09:19:01.000	claude-sonnet-4-5	claude-sonnet-4-5	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 72, "completion_tokens": 155, "total_tokens": 227, "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": null}, "cache_read_input_tokens": 1927, "cache_creation_input_tokens": 3216}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-20	acompletion	88dc	0	0	0	0	2026-11-02 09:20:00.000	2026-11-02 09:20:04.000	2026-11-02 09:20:01.000	gpt-4.1	gpt-4.1	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": null, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	failure
chatcmpl-21	acompletion	88dc	0	6274	5854	420	2026-11-02 09:21:00.000	2026-11-02 09:21:04.000	2026-11-02 09:21:01.000	gpt-4.1	gpt-4.1	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 5854, "completion_tokens": 420, "total_tokens": 6274}, "additional_usage_values": {}}	True	["prod", "a\\\\b"]		\N	success
chatcmpl-22	aembedding	88dc	0.004256	4187	4187	0	2026-11-02 09:22:00.000	2026-11-02 09:22:04.000	2026-11-02 09:22:01.000	text-embedding-3-small	text-embedding-3-small	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 4187, "completion_tokens": 0, "total_tokens": 4187}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
chatcmpl-23	acompletion	88dc	0.001284	6566	5543	481	2026-11-02 09:23:00.000	2026-11-02 09:23:04.000	2026-11-02 09:23:01.000	xai/grok-4	xai/grok-4	x	u1	{"user_api_key_alias": "main\\tkey", "usage_object": {"prompt_tokens": 5543, "completion_tokens": 481, "total_tokens": 6566, "completion_tokens_details": {"reasoning_tokens": 542}}, "additional_usage_values": {}}	False	["prod", "a\\\\b"]		\N	success
\.

--
-- PostgreSQL database dump complete
--
