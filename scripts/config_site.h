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
#define PJSIP_MAX_TRANSPORTS            64
#define PJ_TIMER_DEBUG                  0
#define PJMEDIA_HAS_VIDEO               0
#define PJMEDIA_ADVERTISE_RTCP          0
#define PJMEDIA_MAX_SDP_FMT             64
#define PJMEDIA_MAX_SDP_ATTR            136
/* It refuses offers of codecs it has never heard of, whoever carries them. */
#define PJMEDIA_CODEC_L16_HAS_8KHZ_MONO  1
#define PJMEDIA_CODEC_L16_HAS_16KHZ_MONO 1
