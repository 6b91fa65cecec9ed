/* Compile-time limits of pjproject for the engine: many calls, no media of its own. */
#define PJ_ENABLE_EXTRA_CHECK           1
#define PJ_LOG_MAX_LEVEL                5
#define PJ_IOQUEUE_MAX_HANDLES          16384
#define PJSUA_MAX_CALLS                 4000
#define PJSUA_MAX_ACC                   512
#define PJSUA_MAX_CONF_PORTS            4254
#define PJSUA_MAX_PLAYERS               1
#define PJSUA_MAX_RECORDERS             1
#define PJSIP_MAX_TSX_COUNT             16383
#define PJSIP_MAX_DIALOG_COUNT          8191
#define PJSIP_MAX_TIMER_COUNT           49151
#define PJSIP_UDP_SO_RCVBUF_SIZE        4194304
#define PJSIP_UDP_SO_SNDBUF_SIZE        4194304
#define PJSIP_MAX_PKT_LEN               16000
#define PJSIP_MAX_URL_SIZE              1024
/* As many as MOST in engine/sip/stack/resolver.py has: each message has room for them. */
#define PJSIP_MAX_RESOLVED_ADDRESSES    8
#define PJSIP_MAX_TRANSPORTS            4096
/* Connections that come at once wait here; of one too many the first packet is lost, and the next comes a second later. */
#define PJSIP_TCP_TRANSPORT_BACKLOG     1024
#define PJ_SOMAXCONN                    1024
/* A connection by which no message has come for so many seconds is closed: they are not for holding. */
#define PJSIP_TRANSPORT_SERVER_IDLE_TIME_FIRST 30
#define PJ_TIMER_DEBUG                  0
#define PJMEDIA_HAS_VIDEO               0
#define PJMEDIA_ADVERTISE_RTCP          0
#define PJMEDIA_MAX_SDP_FMT             64
#define PJMEDIA_MAX_SDP_ATTR            136
/* It refuses offers of codecs it has never heard of, whoever carries them. */
#define PJMEDIA_CODEC_L16_HAS_8KHZ_MONO  1
#define PJMEDIA_CODEC_L16_HAS_16KHZ_MONO 1
/* A session description that does not fit is passed on as none; those of softphones with ICE have 2000 octets and more. */
#define PJSUA2_MAX_SDP_BUF_LEN          PJSIP_MAX_PKT_LEN
/* What is long goes by UDP too, in fragments: a trunk that has no TCP, or a filter before it, is not found out for 16 s. */
#define PJSIP_DONT_SWITCH_TO_TCP        1
#define PJ_HAS_IPV6                     1
/* How a request in a call is answered that nothing takes. By OPTIONS peers ask whether the call still is. */
#define FLEXML_UNTAKEN_IN_CALL(msg) \
    ((msg)->line.req.method.id == PJSIP_OPTIONS_METHOD ? 200 : \
     pj_stricmp2(&(msg)->line.req.method.name, "INFO") != 0 ? 405 : \
     (msg)->body && pj_stricmp2(&(msg)->body->content_type.subtype, "dtmf") != 0 ? 415 : 200)
/* The same outside of calls (RFC 3261 sections 8.2.1 and 12.2.2): what there is only within one is for none that we know. */
#define FLEXML_ANSWER_UNTAKEN(endpt, rdata) \
    if (rdata->msg_info.msg->type == PJSIP_REQUEST_MSG && \
        rdata->msg_info.msg->line.req.method.id != PJSIP_ACK_METHOD) { \
        const pjsip_hdr *allow = pjsip_endpt_get_capability(endpt, PJSIP_H_ALLOW, NULL); \
        pj_bool_t known = pjsip_endpt_has_capability(endpt, PJSIP_H_ALLOW, NULL, \
                                                     &rdata->msg_info.msg->line.req.method.name); \
        pjsip_hdr headers; \
        pj_list_init(&headers); \
        if (allow && !known) \
            pj_list_push_back(&headers, pjsip_hdr_clone(rdata->tp_info.pool, allow)); \
        pjsip_endpt_respond_stateless(endpt, rdata, known ? 481 : 405, NULL, &headers, NULL); \
    }
/* A request with headers that cannot be read: 400 names the first of them (RFC 3261 section 21.4.1), and so does the log. */
#define FLEXML_REFUSE_UNREADABLE(endpt, rdata) \
    if (rdata->msg_info.msg && rdata->msg_info.msg->type == PJSIP_REQUEST_MSG && \
        rdata->msg_info.msg->line.req.method.id != PJSIP_ACK_METHOD && \
        rdata->msg_info.cid && rdata->msg_info.cid->id.slen && rdata->msg_info.from && rdata->msg_info.to && \
        rdata->msg_info.via && rdata->msg_info.cseq) { \
        const pj_str_t *name = &rdata->msg_info.parse_err.next->hname; \
        char text[64]; \
        pj_str_t reason; \
        pj_ansi_snprintf(text, sizeof(text), "Bad %.*s Header", (int)(name->slen < 48 ? name->slen : 48), name->ptr); \
        reason = pj_str(text); \
        PJ_LOG(1, (THIS_FILE, "%.*s from %s:%d refused with 400: its %.*s cannot be read", \
                   (int)rdata->msg_info.msg->line.req.method.name.slen, rdata->msg_info.msg->line.req.method.name.ptr, \
                   rdata->pkt_info.src_name, rdata->pkt_info.src_port, (int)(name->slen < 48 ? name->slen : 48), name->ptr)); \
        pj_strdup2(rdata->tp_info.pool, &rdata->msg_info.via->recvd_param, rdata->pkt_info.src_name); \
        if (rdata->msg_info.via->rport_param == 0) \
            rdata->msg_info.via->rport_param = rdata->pkt_info.src_port; \
        pjsip_endpt_respond_stateless(endpt, rdata, 400, &reason, NULL, NULL); \
    }
